//! Evidence packs: zip archives of plain files, without compression, so that little is needed to read one and every tool can. What is written
//! is made of local headers, a central directory and its end (APPNOTE 4.3); what is read is taken through the central directory alone.

use std::collections::BTreeMap;

/// Files of a pack.
pub const PACK_FILES_MAX: usize = 10_000;
/// Files and bytes of a format without extensions end here.
const BYTES_MAX: usize = u32::MAX as usize;

/// A file that is not a pack.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPack {
    /// Its form.
    #[error("not an archive that can be read: {0}")]
    Form(&'static str),
    /// A file of it is compressed.
    #[error("`{0}` is compressed; unpack the archive and give the folder")]
    Compressed(String),
    /// A file of it was changed.
    #[error("`{0}` is not what its checksum says")]
    Checksum(String),
    /// It would be larger than the format can say.
    #[error("more than {PACK_FILES_MAX} files or 4 GiB do not fit into a pack")]
    TooLarge,
}

/// The archive of these files.
pub fn write(files: &BTreeMap<String, Vec<u8>>) -> Result<Vec<u8>, BadPack> {
    let too_large = |_| BadPack::TooLarge;
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    if files.len() > PACK_FILES_MAX {
        return Err(BadPack::TooLarge);
    }
    for (name, bytes) in files {
        let offset = u32::try_from(archive.len()).map_err(too_large)?;
        let size = u32::try_from(bytes.len()).map_err(too_large)?;
        let name_size = u16::try_from(name.len()).map_err(too_large)?;
        // Version 2.0, names in UTF-8, stored, the first day that the format can say.
        let mut common = Vec::new();
        [20u16, 1 << 11, 0, 0, 0x21].iter().for_each(|word| common.extend(word.to_le_bytes()));
        [crc32(bytes), size, size].iter().for_each(|word| common.extend(word.to_le_bytes()));
        [name_size, 0].iter().for_each(|word| common.extend(word.to_le_bytes()));
        archive.extend(LOCAL);
        archive.extend(&common);
        archive.extend(name.as_bytes());
        archive.extend(bytes);
        directory.extend(CENTRAL);
        directory.extend(20u16.to_le_bytes());
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (count, start) = (u16::try_from(files.len()).map_err(too_large)?, u32::try_from(archive.len()).map_err(too_large)?);
    let size = u32::try_from(directory.len()).map_err(too_large)?;
    if archive.len() + directory.len() > BYTES_MAX {
        return Err(BadPack::TooLarge);
    }
    archive.extend(directory);
    archive.extend(END);
    [0, 0, count, count].iter().for_each(|word: &u16| archive.extend(word.to_le_bytes()));
    [size, start].iter().for_each(|word| archive.extend(word.to_le_bytes()));
    archive.extend([0; 2]);
    Ok(archive)
}

const LOCAL: &[u8; 4] = b"PK\x03\x04";
const CENTRAL: &[u8; 4] = b"PK\x01\x02";
const END: &[u8; 4] = b"PK\x05\x06";

/// The files of an archive, by name. Names that lead out of a folder are refused.
pub fn read(archive: &[u8]) -> Result<BTreeMap<String, &[u8]>, BadPack> {
    let form = |what| move || BadPack::Form(what);
    let end = archive.len().checked_sub(22).ok_or_else(form("it is too short"))?;
    if part(archive, end, 4) != Some(END) {
        return Err(BadPack::Form("it does not end like one, or has a comment"));
    }
    let count = word(archive, end + 10).ok_or_else(form("its end is cut"))?;
    let mut at = long(archive, end + 16).ok_or_else(form("its end is cut"))?;
    let mut files = BTreeMap::new();
    for _ in 0..count {
        let cut = form("its directory is cut");
        if part(archive, at, 4) != Some(CENTRAL) {
            return Err(BadPack::Form("its directory is not where its end says"));
        }
        let (method, sum) = (word(archive, at + 10).ok_or_else(cut)?, long(archive, at + 16).ok_or_else(cut)?);
        let (packed, size) = (long(archive, at + 20).ok_or_else(cut)?, long(archive, at + 24).ok_or_else(cut)?);
        let name_size = word(archive, at + 28).ok_or_else(cut)?;
        let (extra, comment) = (word(archive, at + 30).ok_or_else(cut)?, word(archive, at + 32).ok_or_else(cut)?);
        let local = long(archive, at + 42).ok_or_else(cut)?;
        let name = part(archive, at + 46, name_size).and_then(|name| std::str::from_utf8(name).ok());
        let name = name.ok_or_else(form("a name is not UTF-8"))?;
        at += 46 + name_size + extra + comment;
        if name.ends_with('/') {
            continue;
        }
        if name.is_empty()
            || name.starts_with('/')
            || name.contains(['\\', '\0', ':'])
            || name.split('/').any(|part| part == "..")
        {
            return Err(BadPack::Form("a name leads elsewhere"));
        }
        if method != 0 || packed != size {
            return Err(BadPack::Compressed(name.to_owned()));
        }
        let bytes = content(archive, local, size).ok_or_else(form("a file of it is cut"))?;
        if crc32(bytes) as usize != sum {
            return Err(BadPack::Checksum(name.to_owned()));
        }
        if files.len() == PACK_FILES_MAX || files.insert(name.to_owned(), bytes).is_some() {
            return Err(BadPack::Form("it has too many files, or one twice"));
        }
    }
    Ok(files)
}

fn content(archive: &[u8], local: usize, size: usize) -> Option<&[u8]> {
    if part(archive, local, 4)? != LOCAL {
        return None;
    }
    let names = word(archive, local.checked_add(26)?)? + word(archive, local.checked_add(28)?)?;
    part(archive, local.checked_add(30 + names)?, size)
}

fn part(bytes: &[u8], at: usize, size: usize) -> Option<&[u8]> {
    bytes.get(at..at.checked_add(size)?)
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_le_bytes(part(bytes, at, 2)?.try_into().ok()?)))
}

fn long(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(part(bytes, at, 4)?.try_into().ok()?)).ok()
}

/// The table of CRC-32 (ISO 3309) by byte.
const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    #[expect(clippy::indexing_slicing, reason = "an index below the length, checked when this is compiled")]
    while byte < 256 {
        let (mut value, mut bit) = (byte as u32, 0);
        while bit < 8 {
            value = if value & 1 == 1 { value >> 1 ^ 0xedb8_8320 } else { value >> 1 };
            bit += 1;
        }
        table[byte] = value;
        byte += 1;
    }
    table
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32, byte: &u8| {
        let index = (sum as u8 ^ byte) as usize;
        TABLE.get(index).copied().unwrap_or_default() ^ sum >> 8
    };
    !bytes.iter().fold(!0, step)
}
