//! The content of a stored file as it is read: from one that lies open, or from one that is sealed.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use crate::SealedReader;

/// The content of a stored file. What is sealed is opened piece by piece, and a piece that was changed is an error of the kind
/// [`io::ErrorKind::InvalidData`].
pub struct Content(Form);

enum Form {
    Plain(File),
    Sealed(Box<SealedReader<File>>),
}

impl Content {
    /// Of a file that lies open.
    pub fn plain(file: File) -> Content {
        Content(Form::Plain(file))
    }

    /// Of a file that is sealed.
    pub fn sealed(reader: SealedReader<File>) -> Content {
        Content(Form::Sealed(Box::new(reader)))
    }

    /// Whether it lies sealed.
    pub fn is_sealed(&self) -> bool {
        matches!(self.0, Form::Sealed(_))
    }

    /// Copies all of it to a file. Of what lies open the kernel makes the copy, and shares the blocks where the file system can.
    pub fn copy_to(self, target: &mut File) -> io::Result<u64> {
        match self.0 {
            Form::Plain(mut file) => io::copy(&mut file, target),
            Form::Sealed(mut reader) => io::copy(&mut reader, target),
        }
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Form::Plain(file) => file.read(buffer),
            Form::Sealed(reader) => reader.read(buffer),
        }
    }
}

impl Seek for Content {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match &mut self.0 {
            Form::Plain(file) => file.seek(to),
            Form::Sealed(reader) => reader.seek(to),
        }
    }
}
