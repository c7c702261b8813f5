//! Pulling from registries (OCI distribution specification 1.1): manifests, configurations and layers over HTTPS.
//!
//! Pushes nothing, runs no credential helper, knows no mirrors and no proxies. Everything blocks; a session drives its connections
//! itself. Invariants:
//! 1. Nothing is used before its digest was found right; a layer also has the size and the diff id its image says.
//! 2. Credentials go to the registry they are for and to the token service it names, never where a redirect leads.
//! 3. Plain HTTP is spoken with this machine only, unless asked for.
//! 4. Documents, layers, their number and sum, redirects, retries and silence are bounded.

mod blob;
mod challenge;
mod choose;
mod credentials;
mod error;
mod pull;
mod session;
mod token;

use std::collections::BTreeSet;

use konzert_fetch::Patience;
use konzert_packages::LayerFacts;

use crate::document::{self, ConfigDocument, Descriptor, ImageIndex, Manifest, ManifestKind, RecordParts};
use crate::error::ImageError;
use crate::ids::{ImageDigest, Reference};
use crate::limits::{self, Limits};
use crate::load::{self, LoadProgress, nothing_found};
use crate::record::{ImageRecord, LayerRef, Platform};
use crate::staging::digest_of;
use session::Session;

pub use credentials::{Credential, Credentials, CredentialsError};
pub use error::RegistryError;

/// Most documents asked for on the way to one image.
const MAX_DOCUMENTS: usize = 16;

/// Which registries may be spoken to without encryption.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlainHttp {
    /// Those on this machine (`localhost`, `127.0.0.0/8`), when they do not speak TLS.
    #[default]
    Loopback,
    /// This one: it is spoken to over plain HTTP only.
    Always,
}

/// How to pull.
#[derive(Clone, Debug, Default)]
pub struct RegistryOptions {
    /// Who one is, by registry.
    pub credentials: Credentials,
    /// Encryption.
    pub plain_http: PlainHttp,
    /// The platform of the image; `None` for the store's, or this machine's.
    pub platform: Option<Platform>,
    /// How long a server may say nothing.
    pub patience: Patience,
}

/// An image in a registry, its documents read and its layers not.
#[derive(Debug)]
pub struct RemoteImage {
    session: Session,
    manifest_bytes: Vec<u8>,
    manifest: Manifest,
    config_bytes: Vec<u8>,
    record: ImageRecord,
    limits: Limits,
    /// Bytes of layers so far, for progress.
    received: u64,
}

impl RemoteImage {
    /// Reads manifest and configuration of the image for the platform. An error is an [`ImageError::Pull`].
    pub fn open(reference: &Reference, options: &RegistryOptions) -> Result<Self, ImageError> {
        let platform = options.platform.clone().unwrap_or_else(Platform::host);
        Session::open(reference, options)
            .and_then(|session| Self::resolve(session, reference, &platform, Limits::default()))
            .map_err(pull_error(reference))
    }

    /// What the documents say.
    pub fn record(&self) -> &ImageRecord {
        &self.record
    }

    /// Reads a layer of [`Self::record`] into the cataloguer while it comes; nothing is stored. Fails when anything of it is not as promised.
    pub fn layer_facts(
        &mut self,
        layer: &LayerRef,
        progress: &dyn Fn(LoadProgress),
    ) -> Result<LayerFacts, ImageError> {
        let total = layer_bytes(&self.record);
        let before = self.received;
        let told = move |bytes: u64| {
            progress(LoadProgress::Reading { bytes: before + bytes, total: Some(total) });
        };
        let mut blob = self.session.blob(&layer.blob_digest, layer.size, &told);
        let facts = load::read_blob(&mut blob, layer, &self.limits).map_err(|e| blob.fault().unwrap_or(e));
        let name = self.record.display_name().to_owned();
        let facts = facts.map_err(|e| ImageError::Pull { image: name, source: Box::new(e) })?;
        self.received += layer.size;
        Ok(facts)
    }

    fn resolve(
        mut session: Session,
        reference: &Reference,
        platform: &Platform,
        limits: Limits,
    ) -> Result<Self, ImageError> {
        let mut search = Search { platform, others: BTreeSet::new(), indexes: Vec::new(), asked: 0 };
        let top = match &reference.digest {
            Some(digest) => session.manifest(digest.as_str(), Some(digest))?,
            None => session.manifest(reference.tag.as_deref().unwrap_or("latest"), None)?,
        };
        let found = search.image(&mut session, top)?;
        let Some(manifest_bytes) = found else {
            return Err(nothing_found(&search.others, platform));
        };
        let what = format!("image manifest {}", digest_of(&manifest_bytes));
        let manifest: Manifest = document::parse(&manifest_bytes, || what.clone())?;
        manifest.check(&what)?;
        check_sizes(&manifest, &what, &limits)?;
        let config_bytes = session.config(&manifest.config)?;
        let config = parse_config(&config_bytes, &manifest.config.digest)?;
        if !load::fits(config.platform(), platform, &mut search.others) {
            return Err(nothing_found(&search.others, platform));
        }
        let parts = RecordParts {
            manifest_bytes: &manifest_bytes,
            manifest: &manifest,
            config,
            host: platform,
            loaded_at: jiff::Timestamp::UNIX_EPOCH,
        };
        let mut record = document::record(parts)?;
        record.index_digests = search.indexes;
        if reference.digest.is_none() {
            record.names.extend(reference.tagged_name());
        }
        Ok(Self { session, manifest_bytes, manifest, config_bytes, record, limits, received: 0 })
    }
}

/// The way from what a reference names to the manifest of one image.
struct Search<'a> {
    platform: &'a Platform,
    /// Platforms that were passed over.
    others: BTreeSet<Platform>,
    /// Indexes on the way.
    indexes: Vec<ImageDigest>,
    asked: usize,
}

impl Search<'_> {
    /// The bytes of the image manifest that a document is or leads to.
    fn image(
        &mut self,
        session: &mut Session,
        found: session::Document,
    ) -> Result<Option<Vec<u8>>, ImageError> {
        if found.kind == ManifestKind::Image {
            return Ok(Some(found.bytes));
        }
        if self.indexes.len() >= limits::MAX_INDEX_DEPTH {
            return Err(too_many("the nesting of image indexes", limits::MAX_INDEX_DEPTH, "levels"));
        }
        let what = format!("image index {}", found.digest);
        let index: ImageIndex = document::parse(&found.bytes, || what.clone())?;
        if index.manifests.len() > limits::MAX_INDEX_MANIFESTS {
            return Err(too_many(&what, limits::MAX_INDEX_MANIFESTS, "manifests"));
        }
        self.indexes.push(found.digest);
        for descriptor in choose::candidates(index.manifests, self.platform, &mut self.others) {
            self.asked += 1;
            if self.asked > MAX_DOCUMENTS {
                return Err(too_many("the way to the image", MAX_DOCUMENTS, "documents"));
            }
            let next = session.described_manifest(&descriptor)?;
            if let Some(image) = self.image(session, next)? {
                return Ok(Some(image));
            }
        }
        self.indexes.pop();
        Ok(None)
    }
}

fn parse_config(bytes: &[u8], digest: &ImageDigest) -> Result<ConfigDocument, ImageError> {
    document::parse(bytes, || format!("image configuration {digest}"))
}

fn check_sizes(manifest: &Manifest, what: &str, limits: &Limits) -> Result<(), ImageError> {
    let too_large = |what: String, limit| ImageError::TooLarge { what, limit, unit: "bytes" };
    if let Some(layer) = manifest.layers.iter().find(|layer| layer.size > limits.layer_bytes) {
        return Err(too_large(format!("layer {}", layer.digest), limits.layer_bytes));
    }
    let sum = manifest.layers.iter().fold(0_u64, |sum, layer: &Descriptor| sum.saturating_add(layer.size));
    if sum > limits.archive_bytes {
        return Err(too_large(what.to_owned(), limits.archive_bytes));
    }
    Ok(())
}

fn too_many(what: &str, limit: usize, unit: &'static str) -> ImageError {
    ImageError::TooLarge { what: what.to_owned(), limit: limit as u64, unit }
}

fn layer_bytes(record: &ImageRecord) -> u64 {
    record.layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.size))
}

fn pull_error(reference: &Reference) -> impl FnOnce(ImageError) -> ImageError {
    let image = reference.to_string();
    move |source| ImageError::Pull { image, source: Box::new(source) }
}
