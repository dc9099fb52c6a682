//! The content of what is stored as it is read: from what lies open, or from what is sealed; in a file, or somewhere else.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use crate::SealedReader;

/// What can be read from any place.
pub trait ReadAt: Read + Seek + Send {}

impl<T: Read + Seek + Send> ReadAt for T {}

/// The content of what is stored. What is sealed is opened piece by piece, and a piece that was changed is an error of the kind
/// [`io::ErrorKind::InvalidData`].
pub struct Content(Form);

enum Form {
    Plain(File),
    /// It lies open in no file of this machine.
    Elsewhere(Box<dyn ReadAt>),
    Sealed(Box<dyn ReadAt>),
}

impl Content {
    /// Of a file that lies open.
    pub fn plain(file: File) -> Content {
        Content(Form::Plain(file))
    }

    /// Of what lies open in another place.
    pub fn elsewhere(source: impl ReadAt + 'static) -> Content {
        Content(Form::Elsewhere(Box::new(source)))
    }

    /// Of what is sealed, wherever that lies.
    pub fn sealed<R: ReadAt + 'static>(reader: SealedReader<R>) -> Content {
        Content(Form::Sealed(Box::new(reader)))
    }

    /// Whether it lies sealed.
    pub fn is_sealed(&self) -> bool {
        matches!(self.0, Form::Sealed(_))
    }

    /// Copies all of it to a file. Of a file that lies open the kernel makes the copy, and shares the blocks where the file system can.
    pub fn copy_to(self, target: &mut File) -> io::Result<u64> {
        match self.0 {
            Form::Plain(mut file) => io::copy(&mut file, target),
            Form::Elsewhere(mut reader) | Form::Sealed(mut reader) => io::copy(&mut reader, target),
        }
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Form::Plain(file) => file.read(buffer),
            Form::Elsewhere(reader) | Form::Sealed(reader) => reader.read(buffer),
        }
    }
}

impl Seek for Content {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match &mut self.0 {
            Form::Plain(file) => file.seek(to),
            Form::Elsewhere(reader) | Form::Sealed(reader) => reader.seek(to),
        }
    }
}
