//! Answers of HTTP as they are read from a connection: the head, then as much of the body as it says.

use std::io::{self, BufRead as _, BufReader, Read, Write};

/// The longest line of a head, and how many of them there may be.
const LINE_BYTES_MAX: u64 = 16 << 10;
const LINES_MAX: usize = 200;

/// A connection.
pub(super) trait Both: Read + Write + Send {}
impl<T: Read + Write + Send> Both for T {}

/// An answer whose head was read.
pub(super) struct Answered {
    pub(super) status: u16,
    /// What the head says of the body's length.
    pub(super) length: Option<u64>,
    pub(super) range: Option<String>,
    pub(super) etag: Option<String>,
    pub(super) body: Box<dyn Read + Send>,
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("it answers something that is no answer: {what}"))
}

fn line(reader: &mut BufReader<Box<dyn Both>>) -> io::Result<String> {
    let mut bytes = Vec::new();
    reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes)?;
    match bytes.last() {
        Some(b'\n') => Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned()),
        _ => Err(broken("it breaks off")),
    }
}

/// Reads the head of an answer. One to `HEAD` has no body, whatever it says of its length.
pub(super) fn answered(stream: Box<dyn Both>, to_head: bool) -> io::Result<Answered> {
    let mut reader = BufReader::new(stream);
    loop {
        let first = line(&mut reader)?;
        let status = first.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse::<u16>().ok());
        let status = status.ok_or_else(|| broken(first.get(..80).unwrap_or(&first)))?;
        let mut answered = Answered { status, length: None, range: None, etag: None, body: Box::new(io::empty()) };
        let (mut is_chunked, mut lines) = (false, 0);
        loop {
            let header = line(&mut reader)?;
            lines += 1;
            if header.is_empty() || lines > LINES_MAX {
                break;
            }
            let Some((name, value)) = header.split_once(':') else { return Err(broken("a line of its head")) };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => answered.length = Some(value.parse().map_err(|_| broken("a length"))?),
                "content-range" => answered.range = Some(value.to_owned()),
                "etag" => answered.etag = Some(value.to_owned()),
                "transfer-encoding" => is_chunked = value.eq_ignore_ascii_case("chunked"),
                _ => {}
            }
        }
        if status == 100 {
            continue;
        }
        answered.body = match (to_head || status == 204, is_chunked, answered.length) {
            (true, ..) => Box::new(io::empty()),
            (false, true, _) => Box::new(Chunked { reader, left: 0, is_over: false }),
            (false, false, Some(length)) => Box::new(Whole { reader, left: length }),
            (false, false, None) => Box::new(reader),
        };
        return Ok(answered);
    }
}

/// A body whose length was said: one that breaks off is an error.
struct Whole<R> {
    reader: R,
    left: u64,
}

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(room) = buffer.get_mut(..most).filter(|room| !room.is_empty()) else { return Ok(0) };
        let read = self.reader.read(room)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read as u64;
        Ok(read)
    }
}

/// A body that comes in pieces, each after its length.
struct Chunked<R> {
    reader: R,
    left: u64,
    is_over: bool,
}

impl<R: io::BufRead> Read for Chunked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.left == 0 && !self.is_over {
            let mut line = String::new();
            self.reader.by_ref().take(LINE_BYTES_MAX).read_line(&mut line)?;
            // What ends a piece stands before the length of the next.
            if line == "\r\n" {
                continue;
            }
            let length = line.trim_end().split(';').next().and_then(|digits| u64::from_str_radix(digits, 16).ok());
            self.left = length.ok_or(io::ErrorKind::UnexpectedEof)?;
            self.is_over = self.left == 0;
        }
        if self.is_over || buffer.is_empty() {
            return Ok(0);
        }
        let mut piece = Whole { reader: &mut self.reader, left: self.left };
        let read = piece.read(buffer)?;
        self.left = piece.left;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection that gives its bytes one by one.
    struct Told(&'static [u8]);

    impl Read for Told {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let most = buffer.len().min(1);
            (&mut self.0).take(most as u64).read(buffer)
        }
    }

    impl Write for Told {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn body(answer: &'static [u8]) -> io::Result<(u16, Vec<u8>)> {
        let mut answered = answered(Box::new(Told(answer)), false)?;
        let mut bytes = Vec::new();
        answered.body.read_to_end(&mut bytes)?;
        Ok((answered.status, bytes))
    }

    #[test]
    fn answers_of_every_kind_are_read_and_none_that_breaks_off() {
        let whole = body(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more").unwrap();
        assert_eq!(whole, (200, b"hello".to_vec()));
        let pieces = body(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n").unwrap();
        assert_eq!(pieces, (200, b"hello".to_vec()));
        let told_to_go_on = body(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n").unwrap();
        assert_eq!(told_to_go_on, (404, Vec::new()));
        assert_eq!(body(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap(), (204, Vec::new()));
        let head = answered(Box::new(Told(b"HTTP/1.1 200 OK\r\nETag: \"x\"\r\ncontent-length: 9\r\n\r\n")), true).unwrap();
        assert_eq!((head.status, head.length, head.etag.as_deref()), (200, Some(9), Some("\"x\"")));
        for broken in [
            &b""[..],
            b"HTTP/1.1 200",
            b"nothing of the kind\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nno header\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhello",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        ] {
            assert!(body(broken).is_err(), "{}", String::from_utf8_lossy(broken));
        }
    }
}
