//! Files that clients upload by links: written as they come, whatever their size. What is there already under a name stays: tasks are deployed with the
//! names of their code, and run what lies there for as long as they are.

use std::io::{self, Read};

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use flyte::objects::{Earlier, Meta};
use futures::StreamExt as _;
use md5::{Digest as _, Md5};
use model::AttemptKey;
use tokio::sync::{Semaphore, mpsc};

use super::store::{Fields, described, failed, is_good, refuse};
use crate::rest::App;

/// Pieces of a body that wait to be written.
const PIECES: usize = 4;
/// Uploads at a time: each holds a thread for as long as its client takes.
static AT_A_TIME: Semaphore = Semaphore::const_new(32);

/// Writes an object by a link.
pub(super) async fn upload(
    State(app): State<App>,
    Path(key): Path<String>,
    Query(query): Query<Fields>,
    request: Request,
) -> Response {
    if !is_good(&app, "PUT", &key, &query) {
        return refuse(StatusCode::FORBIDDEN, "AccessDenied", "the link is not good, or not any more");
    }
    match take(&app, key, &query, request.into_body()).await {
        Ok(meta) => described(StatusCode::OK.into_response(), &meta),
        Err(refused) => refused,
    }
}

/// Refuses a program whose data carry more by now than what it asked for the link with, and one that is over.
fn check_uploader(app: &App, key: &str, by: &str) -> Result<(), Response> {
    if by.is_empty() {
        return Ok(());
    }
    let refused = |message: &str| refuse(StatusCode::FORBIDDEN, "AccessDenied", message);
    let attempt: AttemptKey = by.parse().map_err(|_| refused("the link is not good"))?;
    let reach = tokio::task::block_in_place(|| app.control.flyte_reach(attempt))
        .map_err(|fault| failed(&io::Error::other(fault.detail)))?;
    match reach {
        Some(reach) if app.control.flyte().may_upload(&reach, key) => Ok(()),
        Some(_) => {
            Err(refused("the data of the program carry more by now than when it asked for the link: it has to ask for another"))
        }
        None => Err(refused("the attempt that this link was made for is over")),
    }
}

async fn take(app: &App, key: String, query: &Fields, body: Body) -> Result<Meta, Response> {
    let field = |name: &str| query.get(name).cloned().unwrap_or_default();
    check_uploader(app, &key, &field("by"))?;
    // It is never closed.
    let _turn = AT_A_TIME.acquire().await;
    let (pieces, coming) = mpsc::channel(PIECES);
    let mut arriving = Arriving { coming, piece: Bytes::new(), is_over: false, said: field("md5"), md5: Md5::new() };
    let objects = app.control.flyte().objects().clone();
    let written = tokio::task::spawn_blocking(move || objects.write(&key, &mut arriving, Earlier::Same));
    let mut body = body.into_data_stream();
    let mut is_whole = true;
    // To its end also where it cannot be written: an answer before that closes the connection, and the client hears of that alone.
    while let Some(piece) = body.next().await {
        let Ok(piece) = piece else {
            is_whole = false;
            break;
        };
        let _ = pieces.send(Some(piece)).await;
    }
    if is_whole {
        let _ = pieces.send(None).await;
    }
    drop(pieces);
    let written = written.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    written.map_err(|error| match error.kind() {
        _ if error.get_ref().is_some_and(|inner| inner.is::<Differs>()) => {
            refuse(StatusCode::BAD_REQUEST, "BadDigest", "what came is not what the link was made for: its digest is another")
        }
        io::ErrorKind::AlreadyExists => {
            let message = "something else was uploaded under this name, and stays: give the file another name";
            refuse(StatusCode::PRECONDITION_FAILED, "PreconditionFailed", message)
        }
        io::ErrorKind::UnexpectedEof => refuse(StatusCode::BAD_REQUEST, "IncompleteBody", "the body ended before its end"),
        _ => failed(&error),
    })
}

/// What came has another digest than was said.
#[derive(Debug)]
struct Differs;

impl std::fmt::Display for Differs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the digest is another")
    }
}

impl std::error::Error for Differs {}

/// A body as it comes, for a thread that may wait. It is over when that was said: a client that goes away has not sent all of it.
struct Arriving {
    coming: mpsc::Receiver<Option<Bytes>>,
    piece: Bytes,
    is_over: bool,
    /// The digest that it is to have; empty where none was said.
    said: String,
    md5: Md5,
}

impl Read for Arriving {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() && !self.is_over {
            match self.coming.blocking_recv() {
                Some(Some(piece)) => {
                    if !self.said.is_empty() {
                        self.md5.update(&piece);
                    }
                    self.piece = piece;
                }
                Some(None) => {
                    self.is_over = true;
                    let digest = flyte::call::to_hex(&self.md5.clone().finalize());
                    if !self.said.is_empty() && digest != self.said {
                        return Err(io::Error::other(Differs));
                    }
                }
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        let taken = self.piece.split_to(buffer.len().min(self.piece.len()));
        buffer[..taken.len()].copy_from_slice(&taken);
        Ok(taken.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read of pieces that come, with the digest that was said.
    fn read(pieces: &[Option<&'static [u8]>], said: &str) -> io::Result<Vec<u8>> {
        let (send, coming) = mpsc::channel(pieces.len());
        for piece in pieces {
            send.try_send(piece.map(Bytes::from_static)).unwrap();
        }
        drop(send);
        let mut arriving = Arriving { coming, piece: Bytes::new(), is_over: false, said: said.into(), md5: Md5::new() };
        let mut all = Vec::new();
        arriving.read_to_end(&mut all).map(|_| all)
    }

    #[test]
    fn a_body_is_whole_when_that_was_said_and_its_digest_is_the_one_that_was() {
        let hello = "5eb63bbbe01eeed093cb22bb8f5acdc3";
        assert_eq!(read(&[Some(b"hello "), Some(b""), Some(b"world"), None], hello).unwrap(), b"hello world");
        assert_eq!(read(&[Some(b"hello "), Some(b"world"), None], "").unwrap(), b"hello world");
        assert_eq!(read(&[None], "").unwrap(), b"");
        assert!(read(&[Some(b"hello world!"), None], hello).unwrap_err().get_ref().unwrap().is::<Differs>());
        for said in ["", hello] {
            let cut = read(&[Some(b"hello "), Some(b"world")], said).unwrap_err();
            assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof, "its client went away");
        }
    }
}
