//! Archives made byte by byte, so that they can be wrong in ways that no archiver would write.

use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use sha2::{Digest as _, Sha256};

/// A tar stream of arbitrary entries.
#[derive(Default)]
pub(crate) struct RawTar(Vec<u8>);

impl RawTar {
    pub(crate) fn file(self, name: &str, content: &[u8]) -> Self {
        self.entry(name, b'0', "", content)
    }

    pub(crate) fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(name, b'2', target, b"")
    }

    fn entry(mut self, name: &str, kind: u8, link: &str, content: &[u8]) -> Self {
        self.0.extend(header(name, kind, link, content.len()));
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// The end of archive is two empty blocks.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}

/// A ustar header.
fn header(name: &str, kind: u8, link: &str, size: usize) -> [u8; 512] {
    let mut block = [0; 512];
    let fields: [(usize, &[u8]); 8] = [
        (0, name.as_bytes()),
        (100, b"0000644\0"),
        (108, b"0000000\0"),
        (116, b"0000000\0"),
        (136, b"00000000000\0"),
        (148, b"        "),
        (157, link.as_bytes()),
        (257, b"ustar\x0000"),
    ];
    for (at, bytes) in fields {
        block[at..at + bytes.len()].copy_from_slice(bytes);
    }
    block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    block[156] = kind;
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// A `docker save` archive with one image `bad:1` of one layer.
pub(crate) fn docker_archive(layer: &[u8]) -> RawTar {
    let diff_id = format!("sha256:{}", hex::encode(Sha256::digest(layer)));
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {"Cmd": ["/x"]},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
    });
    let manifest = json!([{"Config": "config.json", "RepoTags": ["bad:1"], "Layers": ["layer.tar"]}]);
    RawTar::default()
        .file("config.json", config.to_string().as_bytes())
        .file("layer.tar", layer)
        .file("manifest.json", manifest.to_string().as_bytes())
}

/// A layer with one file: a gigabyte of zeros, in about a megabyte of gzip.
pub(crate) fn zero_bomb() -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::default());
    out.write_all(&header("zeros", b'0', "", 1 << 30)).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..1024 {
        out.write_all(&zeros).unwrap();
    }
    out.write_all(&[0; 1024]).unwrap();
    out.finish().unwrap()
}

/// Writes a file of the test.
pub(crate) fn put(dir: &Path, name: &str, bytes: &[u8]) -> String {
    let path = dir.join(name);
    std::fs::File::create(&path).unwrap().write_all(bytes).unwrap();
    path.to_str().unwrap().to_owned()
}
