//! Archives made byte by byte, so that they can also be wrong.

use std::io::Write;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::Platform;

/// A pax record; the length counts its own digits (two, for what tests need).
pub(super) fn record(key: &str, value: &str) -> String {
    let length = key.len() + value.len() + 5;
    assert!((10..100).contains(&length), "two digits");
    format!("{length} {key}={value}\n")
}

/// A tar stream of arbitrary entries.
#[derive(Clone, Default)]
pub(super) struct RawTar {
    bytes: Vec<u8>,
}

impl RawTar {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Any entry; names over 100 bytes get a GNU long name.
    pub(super) fn entry(mut self, name: &str, kind: u8, link: &str, content: &[u8]) -> Self {
        if name.len() > 100 {
            self.block("././@LongLink", b'L', "", name.len() + 1);
            self.content(&[name.as_bytes(), b"\0"].concat());
        }
        self.block(name, kind, link, content.len());
        self.content(content);
        self
    }

    pub(super) fn file(self, name: &str, content: &[u8]) -> Self {
        self.entry(name, b'0', "", content)
    }
    pub(super) fn dir(self, name: &str) -> Self {
        self.entry(name, b'5', "", b"")
    }
    pub(super) fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(name, b'2', target, b"")
    }
    pub(super) fn hardlink(self, name: &str, target: &str) -> Self {
        self.entry(name, b'1', target, b"")
    }
    pub(super) fn pax(self, records: &str) -> Self {
        self.entry("pax", b'x', "", records.as_bytes())
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes.extend([0; 1024]);
        self.bytes
    }

    fn block(&mut self, name: &str, kind: u8, link: &str, size: usize) {
        let mut block = [0_u8; 512];
        let mut put = |at: usize, max: usize, value: &[u8]| {
            let n = value.len().min(max);
            block[at..at + n].copy_from_slice(&value[..n]);
        };
        put(0, 100, name.as_bytes());
        put(100, 8, b"0000755\0");
        put(108, 8, b"0000000\0");
        put(116, 8, b"0000000\0");
        put(124, 12, format!("{size:011o}\0").as_bytes());
        put(136, 12, b"00000000000\0");
        put(148, 8, b"        ");
        put(156, 1, &[kind]);
        put(157, 100, link.as_bytes());
        put(257, 8, b"ustar\x0000");
        let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.bytes.extend(block);
    }

    fn content(&mut self, content: &[u8]) {
        self.bytes.extend(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
    }
}

/// A gigabyte of zeros as a layer, compressed to about a megabyte.
pub(super) fn zero_bomb() -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let mut tar = RawTar::new();
    tar.block("zeros", b'0', "", 1 << 30);
    out.write_all(&tar.bytes).expect("gzip");
    let zeros = vec![0; 1 << 20];
    for _ in 0..1024 {
        out.write_all(&zeros).expect("gzip");
    }
    out.write_all(&[0; 1024]).expect("gzip");
    out.finish().expect("gzip")
}

/// Files of an archive, in order.
pub(super) type Files = Vec<(String, Vec<u8>)>;

pub(super) fn sha(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(bytes).expect("gzip");
    out.finish().expect("gzip")
}

pub(super) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("zstd")
}

/// A layer as an archive has it, and the diff id its configuration gives.
#[derive(Clone)]
pub(super) struct TestLayer {
    pub(super) blob: Vec<u8>,
    pub(super) diff_id: String,
    pub(super) media_type: &'static str,
}

impl TestLayer {
    pub(super) fn plain(tar: Vec<u8>) -> Self {
        Self {
            diff_id: format!("sha256:{}", sha(&tar)),
            blob: tar,
            media_type: crate::document::OCI_LAYER_TAR,
        }
    }
    pub(super) fn gzip(tar: &[u8]) -> Self {
        let diff_id = format!("sha256:{}", sha(tar));
        Self { diff_id, blob: gzip(tar), media_type: crate::document::OCI_LAYER_GZIP }
    }
    pub(super) fn zstd(tar: &[u8]) -> Self {
        let diff_id = format!("sha256:{}", sha(tar));
        Self { diff_id, blob: zstd(tar), media_type: crate::document::OCI_LAYER_ZSTD }
    }
}

pub(super) fn config(layers: &[TestLayer]) -> Value {
    let ids: Vec<&str> = layers.iter().map(|l| l.diff_id.as_str()).collect();
    json!({
        "architecture": Platform::host().architecture,
        "os": "linux",
        "created": "2024-05-06T07:08:09.123456789Z",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["/run"], "Entrypoint": null, "ExposedPorts": {"80/tcp": {}}},
        "rootfs": {"type": "layers", "diff_ids": ids},
    })
}

pub(super) fn manifest(config: &[u8], layers: &[TestLayer]) -> Value {
    let layers: Vec<Value> = layers
        .iter()
        .map(|l| json!({"mediaType": l.media_type, "digest": format!("sha256:{}", sha(&l.blob)), "size": l.blob.len()}))
        .collect();
    json!({
        "schemaVersion": 2,
        "mediaType": crate::document::OCI_MANIFEST,
        "config": {"mediaType": crate::document::OCI_CONFIG, "digest": format!("sha256:{}", sha(config)), "size": config.len()},
        "layers": layers,
    })
}

/// A document as a blob with a descriptor that fits.
pub(super) fn blob(media_type: &str, bytes: &[u8]) -> ((String, Vec<u8>), Value) {
    let hex = sha(bytes);
    let descriptor = json!({"mediaType": media_type, "digest": format!("sha256:{hex}"), "size": bytes.len()});
    ((format!("blobs/sha256/{hex}"), bytes.to_vec()), descriptor)
}

/// The files of a layout with one image; `name` goes into the index.
pub(super) fn oci_files(layers: &[TestLayer], name: Option<&str>) -> Files {
    let config = config(layers).to_string().into_bytes();
    let manifest = manifest(&config, layers).to_string().into_bytes();
    oci_files_of(&config, &manifest, layers, name)
}

pub(super) fn oci_files_of(
    config: &[u8],
    manifest: &[u8],
    layers: &[TestLayer],
    name: Option<&str>,
) -> Files {
    let (manifest_blob, mut descriptor) = blob(crate::document::OCI_MANIFEST, manifest);
    if let Some(name) = name {
        descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": name});
    }
    let index = json!({"schemaVersion": 2, "manifests": [descriptor]});
    let mut files = vec![
        ("oci-layout".to_owned(), b"{\"imageLayoutVersion\":\"1.0.0\"}".to_vec()),
        ("index.json".to_owned(), index.to_string().into_bytes()),
        manifest_blob,
        blob("", config).0,
    ];
    files.extend(layers.iter().map(|l| blob("", &l.blob).0));
    files
}

/// The files of a classic `docker save` archive.
pub(super) fn docker_files(layers: &[TestLayer], tags: &[&str]) -> Files {
    let config = config(layers).to_string().into_bytes();
    let hex = sha(&config);
    let paths: Vec<String> = (0..layers.len()).map(|n| format!("{n:064}/layer.tar")).collect();
    let list = json!([{"Config": format!("{hex}.json"), "RepoTags": tags, "Layers": paths}]);
    let mut files = vec![(format!("{hex}.json"), config)];
    files.extend(paths.into_iter().zip(layers.iter().map(|l| l.blob.clone())));
    files.push(("manifest.json".to_owned(), list.to_string().into_bytes()));
    files
}

pub(super) fn pack(files: &Files) -> Vec<u8> {
    files.iter().fold(RawTar::new(), |tar, (name, content)| tar.file(name, content)).finish()
}

/// An archive with one image of one plain layer.
pub(super) fn archive_with_layer(tar: Vec<u8>) -> Vec<u8> {
    pack(&oci_files(&[TestLayer::plain(tar)], Some("bad:1")))
}
