//! Makes layers, rpm headers and databases, executables and archives for tests.

use std::io::{Cursor, Write as _};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::{Catalogue, LayerCataloguer, LayerFacts, Precision, catalogue};

pub(super) const BOOKWORM: (&str, &[u8]) =
    ("etc/os-release", b"ID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n");

/// A layer of regular files.
pub(super) fn layer(files: &[(&str, &[u8])]) -> LayerFacts {
    let mut cataloguer = LayerCataloguer::new("sha256:0");
    for (path, content) in files {
        cataloguer.file(path, content.len() as u64, &mut Cursor::new(content)).unwrap();
    }
    cataloguer.finish()
}

pub(super) fn of(files: &[(&str, &[u8])]) -> Catalogue {
    catalogue(&[layer(files)], Precision::Precise)
}

/// `name version` of every package.
pub(super) fn rows(found: &Catalogue) -> Vec<String> {
    found.packages.iter().map(|p| format!("{} {}", p.name, p.version)).collect()
}

/// An rpm header of strings (type 6), numbers (4) and string lists (8).
#[derive(Default)]
pub(super) struct HeaderBuilder {
    index: Vec<u8>,
    data: Vec<u8>,
}

impl HeaderBuilder {
    fn entry(&mut self, tag: u32, kind: u32, count: u32) {
        let offset = u32::try_from(self.data.len()).unwrap();
        for number in [tag, kind, offset, count] {
            self.index.extend(number.to_be_bytes());
        }
    }

    pub(super) fn string(mut self, tag: u32, value: &str) -> Self {
        self.entry(tag, 6, 1);
        self.data.extend(value.bytes().chain([0]));
        self
    }

    pub(super) fn strings(mut self, tag: u32, values: &[&str]) -> Self {
        self.entry(tag, 8, u32::try_from(values.len()).unwrap());
        for value in values {
            self.data.extend(value.bytes().chain([0]));
        }
        self
    }

    pub(super) fn numbers(mut self, tag: u32, values: &[u32]) -> Self {
        self.data.resize(self.data.len().next_multiple_of(4), 0);
        self.entry(tag, 4, u32::try_from(values.len()).unwrap());
        self.data.extend(values.iter().flat_map(|v| v.to_be_bytes()));
        self
    }

    pub(super) fn build(self) -> Vec<u8> {
        let count = u32::try_from(self.index.len() / 16).unwrap();
        let length = u32::try_from(self.data.len()).unwrap();
        [&count.to_be_bytes()[..], &length.to_be_bytes(), &self.index, &self.data].concat()
    }
}

/// A header as rpm writes it, with `files` files to make it long.
pub(super) fn header(name: &str, version: &str, files: u32) -> Vec<u8> {
    let bases: Vec<String> = (0..files).map(|n| format!("file-{n}")).collect();
    let bases: Vec<&str> = bases.iter().map(String::as_str).collect();
    HeaderBuilder::default()
        .string(1000, name)
        .string(1001, version)
        .string(1002, "1.el9")
        .numbers(1003, &[2])
        .string(1011, "Example Vendor")
        .string(1014, "MIT")
        .string(1022, "x86_64")
        .string(1044, &format!("{name}-source-{version}-1.el9.src.rpm"))
        .numbers(1116, &vec![0; files as usize])
        .strings(1117, &bases)
        .strings(1118, &["/usr/share/x/"])
        .string(5096, "nodejs:18:9040020240301111111:rhel9")
        .build()
}

/// rpm's NDB container, as `Packages.db`.
pub(super) fn ndb(blobs: &[Vec<u8>]) -> Vec<u8> {
    let mut file = b"RpmP".to_vec();
    file.extend(
        [0_u32, 1, 1, u32::try_from(blobs.len()).unwrap() + 1, 0, 0, 0].iter().flat_map(|n| n.to_le_bytes()),
    );
    let mut block = 4096 / 16;
    let mut body = Vec::new();
    for (number, blob) in (1_u32..).zip(blobs) {
        let blocks = u32::try_from((16 + blob.len() + 12).div_ceil(16)).unwrap();
        file.extend(b"Slot");
        file.extend([number, block, blocks].iter().flat_map(|n| n.to_le_bytes()));
        body.extend(b"BlbS");
        body.extend([number, 1, u32::try_from(blob.len()).unwrap()].iter().flat_map(|n| n.to_le_bytes()));
        body.extend(blob);
        body.resize(body.len().next_multiple_of(16), 0);
        block += u32::try_from(blob.len().div_ceil(16)).unwrap() + 1;
    }
    while file.len() < 4096 {
        file.extend(b"Slot");
        file.extend([0; 12]);
    }
    file.extend(body);
    file
}

/// rpm's Berkeley container: a meta page, a hash page, and a chain of overflow pages for each blob.
pub(super) fn bdb(blobs: &[Vec<u8>]) -> Vec<u8> {
    const PAGE: usize = 4096;
    const ROOM: usize = PAGE - 26;
    let page = |kind: u8, next: u32, entries: u16, used: u16| {
        let mut page = vec![0; 26];
        page[16..20].copy_from_slice(&next.to_le_bytes());
        page[20..22].copy_from_slice(&entries.to_le_bytes());
        page[22..24].copy_from_slice(&used.to_le_bytes());
        page[25] = kind;
        page
    };
    let mut hash = page(13, 0, u16::try_from(blobs.len() * 2).unwrap(), 0);
    hash.resize(PAGE, 0);
    let mut overflow = Vec::new();
    let (mut next, mut end) = (2_u32, PAGE);
    for (index, blob) in blobs.iter().enumerate() {
        let key = end - 5;
        let value = key - 12;
        hash[key..end].copy_from_slice(&[1, 0, 0, 0, 0]);
        hash[value] = 3;
        hash[value + 4..value + 8].copy_from_slice(&next.to_le_bytes());
        hash[value + 8..key].copy_from_slice(&u32::try_from(blob.len()).unwrap().to_le_bytes());
        for (slot, at) in [(index * 2, key), (index * 2 + 1, value)] {
            hash[26 + slot * 2..28 + slot * 2].copy_from_slice(&u16::try_from(at).unwrap().to_le_bytes());
        }
        end = value;
        let chunks: Vec<&[u8]> = blob.chunks(ROOM).collect();
        for (position, chunk) in chunks.iter().enumerate() {
            next += 1;
            let following = if position + 1 < chunks.len() { next } else { 0 };
            let mut one = page(7, following, 1, u16::try_from(chunk.len()).unwrap());
            one.extend_from_slice(chunk);
            one.resize(PAGE, 0);
            overflow.extend(one);
        }
    }
    let mut file = vec![0; PAGE];
    file[12..16].copy_from_slice(&0x0006_1561_u32.to_le_bytes());
    file[20..24].copy_from_slice(&u32::try_from(PAGE).unwrap().to_le_bytes());
    file[32..36].copy_from_slice(&(next - 1).to_le_bytes());
    [file, hash, overflow].concat()
}

/// rpm's `SQLite` container, made by `SQLite` itself.
pub(super) fn sqlite(blobs: &[Vec<u8>], page_size: u32) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rpmdb.sqlite");
    let database = rusqlite::Connection::open(&path).unwrap();
    let schema = format!(
        "PRAGMA page_size = {page_size};
         CREATE TABLE 'Other' (key TEXT, hnum INTEGER);
         CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL);"
    );
    database.execute_batch(&schema).unwrap();
    for blob in blobs {
        database.execute("INSERT INTO Packages (blob) VALUES (?1)", [blob]).unwrap();
    }
    database.close().unwrap();
    std::fs::read(&path).unwrap()
}

/// A 64-bit little-endian executable with these sections, the first of which is loaded writable at `ADDRESS`.
pub(super) fn elf(sections: &[(&str, &[u8])]) -> Vec<u8> {
    let mut file = vec![0; 64 + 56];
    let mut names = vec![0];
    let mut table = vec![0; 64];
    for (name, content) in sections.iter().copied().chain([(".shstrtab", &b""[..])]) {
        let name_at = u32::try_from(names.len()).unwrap();
        names.extend(name.bytes().chain([0]));
        file.resize(file.len().next_multiple_of(16), 0);
        let offset = file.len() as u64;
        let content = if name == ".shstrtab" { names.as_slice() } else { content };
        file.extend_from_slice(content);
        let mut row = [0; 64];
        row[..4].copy_from_slice(&name_at.to_le_bytes());
        row[24..32].copy_from_slice(&offset.to_le_bytes());
        row[32..40].copy_from_slice(&(content.len() as u64).to_le_bytes());
        table.extend(row);
    }
    let at = file.len() as u64;
    let count = u16::try_from(sections.len() + 2).unwrap();
    file.extend(table);
    file[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\0");
    file[32..40].copy_from_slice(&64_u64.to_le_bytes());
    file[40..48].copy_from_slice(&at.to_le_bytes());
    for (offset, number) in [(54, 56), (56, 1), (58, 64), (60, count), (62, count - 1)] {
        file[offset..offset + 2].copy_from_slice(&u16::to_le_bytes(number));
    }
    let size = sections.first().map_or(0, |(_, content)| content.len() as u64);
    let segment = &mut file[64..120];
    segment[..4].copy_from_slice(&1_u32.to_le_bytes());
    segment[4..8].copy_from_slice(&6_u32.to_le_bytes());
    for (offset, number) in [(8, 128), (16, ADDRESS), (32, size)] {
        segment[offset..offset + 8].copy_from_slice(&u64::to_le_bytes(number));
    }
    file
}

pub(super) const ADDRESS: u64 = 0x40_0000;

/// Go's build information in its inline form.
pub(super) fn build_info(version: &str, modules: &str) -> Vec<u8> {
    let mut info = b"\xff Go buildinf:\x08\x02".to_vec();
    info.resize(32, 0);
    let framed = [&[b'<'; 16][..], modules.as_bytes(), &[b'>'; 16]].concat();
    for text in [version.as_bytes(), &framed] {
        let mut length = text.len();
        while length >= 0x80 {
            info.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
            length >>= 7;
        }
        info.push(u8::try_from(length).unwrap());
        info.extend_from_slice(text);
    }
    info
}

/// How an archive is written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Archive {
    Stored,
    Deflated,
    /// Lengths after the content, as the `jar` tool writes them.
    Streamed,
}

pub(super) fn jar(how: Archive, files: &[(&str, &[u8])]) -> Vec<u8> {
    let method = match how {
        Archive::Stored => CompressionMethod::Stored,
        Archive::Deflated | Archive::Streamed => CompressionMethod::Deflated,
    };
    let options = SimpleFileOptions::default().compression_method(method);
    if let Archive::Streamed = how {
        let mut writer = ZipWriter::new_stream(Vec::new());
        for (name, content) in files {
            writer.start_file(*name, options).unwrap();
            writer.write_all(content).unwrap();
        }
        return writer.finish().unwrap().into_inner();
    }
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        writer.start_file(*name, options).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}
