//! The advisory database on disk: one file, mapped by its readers, replaced as a whole.
//!
//! Invariants: a reader sees the old file or the new one, never a part, and keeps the old one as long as it needs it; imports of several
//! processes do not lose each other's work (a lock is held from reading to renaming); an import that fails changes nothing.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use konzert_advisories::{Builder, Database, Source, Trust, verify};
use nix::fcntl::{Flock, FlockArg};
use parking_lot::Mutex;
use serde::Serialize;

use crate::changes::Changes;
use crate::download::{self, Download, Fetched};
use crate::importing::Imported;
use crate::{FleetError, importing, mapped};

const FILE: &str = "advisories.db";
/// Feeds change many times a day, and security teams look once a week: what is older has missed a round, and its silence
/// is not safety.
pub const DEFAULT_MAX_AGE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The database of one data directory. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AdvisoryStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    max_age: SignedDuration,
    cached: Mutex<Option<(Stamp, Arc<Database>)>>,
}

/// Tells one version of the file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    modified_s: i64,
    modified_ns: i64,
    bytes: u64,
}

/// What an import did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportReport {
    /// What was given.
    pub source: String,
    /// Advisories and priorities read; zero when the server says that nothing is new.
    pub read: u64,
    /// New or changed ones, and those that a feed does not name any more.
    pub changed: u64,
    /// Advisories in the database now.
    pub total: u64,
    /// Revision of the database now.
    pub revision: String,
    /// Whether the server had the same as last time.
    pub not_modified: bool,
}

/// What the database covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseStatus {
    /// Empty when there are no advisories.
    pub revision: String,
    /// How many.
    pub advisories: usize,
    /// Vulnerabilities with a KEV entry or an EPSS score.
    pub priorities: usize,
    /// By ecosystem and release.
    pub ecosystems: Vec<EcosystemStatus>,
    /// Where the advisories came from.
    pub sources: Vec<SourceStatus>,
    /// Last import, RFC 3339.
    pub imported_at: Option<String>,
}

/// One ecosystem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EcosystemStatus {
    /// `Debian:12`.
    pub name: String,
    /// Advisories that speak of it.
    pub advisories: usize,
    /// Newest change among them, RFC 3339; empty when the feed does not say.
    pub newest: String,
    /// Whether its source is too old: scans of it say `unknown`.
    pub stale: bool,
}

/// One source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceStatus {
    /// What is known of it.
    #[serde(flatten)]
    pub source: Source,
    /// Its age in whole hours.
    pub age_hours: i64,
    /// Whether it is older than it may be.
    pub stale: bool,
}

/// Where an import came from.
struct Origin {
    location: String,
    etag: Option<String>,
    /// `Some` when the publisher itself was asked.
    asked_at: Option<Timestamp>,
}

impl AdvisoryStore {
    /// Opens the database in `dir`, which is made when it is not there.
    pub fn open(dir: &Path) -> Result<Self, FleetError> {
        Self::with_max_age(dir, DEFAULT_MAX_AGE)
    }

    /// As [`Self::open`]; sources older than `max_age` make results unknown.
    pub fn with_max_age(dir: &Path, max_age: SignedDuration) -> Result<Self, FleetError> {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(FleetError::io("create", dir))?;
        let inner = Inner { dir: dir.to_owned(), max_age, cached: Mutex::new(None) };
        Ok(Self { inner: Arc::new(inner) })
    }

    fn file(&self) -> PathBuf {
        self.inner.dir.join(FILE)
    }

    /// The directory itself is locked, so that nothing is left behind.
    fn lock(&self) -> Result<Flock<File>, FleetError> {
        let dir = &self.inner.dir;
        let file = File::open(dir).map_err(FleetError::io("open", dir))?;
        Flock::lock(file, FlockArg::LockExclusive)
            .map_err(|(_, errno)| FleetError::io("lock", dir)(errno.into()))
    }

    /// Imports a file, a directory or an archive; `progress` is told how many were read.
    pub fn import(&self, path: &Path, progress: &mut dyn FnMut(u64)) -> Result<ImportReport, FleetError> {
        let location = std::fs::canonicalize(path).map_err(FleetError::io("read", path))?;
        let origin = Origin { location: location.display().to_string(), etag: None, asked_at: None };
        self.import_from(path, origin, progress)
    }

    fn import_from(
        &self,
        path: &Path,
        origin: Origin,
        progress: &mut dyn FnMut(u64),
    ) -> Result<ImportReport, FleetError> {
        let _held = self.lock()?;
        let old = self.to_build_on()?;
        let mut builder = Builder::new(&old);
        let imported = importing::read(path, &mut builder, progress)?;
        let (read, changed) = (imported.records, imported.changed);
        let location = origin.location.clone();
        let sources = replaced(old.sources(), source(origin, imported, Timestamp::now()));
        let new = self.replace(builder.finish(&sources))?;
        Ok(report(location, (read, changed), &new))
    }

    /// Fetches an address and imports it, unless the server has nothing new. `progress` is told what happens.
    pub async fn import_url(
        &self,
        address: &str,
        mut progress: impl FnMut(String) + Send + 'static,
    ) -> Result<ImportReport, FleetError> {
        let fail = |source| FleetError::Download { address: address.to_owned(), source: Box::new(source) };
        let known = self.to_build_on()?.sources().iter().find(|s| s.location == address).cloned();
        let etag = known.as_ref().and_then(|source| source.etag.clone());
        let temporary = tempfile::Builder::new().prefix(".download-").tempfile_in(&self.inner.dir);
        let temporary = temporary.map_err(FleetError::io("write", &self.inner.dir))?;
        let mut out = BufWriter::new(temporary.as_file());
        let mut tell = |bytes: u64| progress(format!("{} KiB fetched", bytes >> 10));
        let mut download =
            Download { etag: etag.as_deref(), max_bytes: download::MAX_BYTES, progress: &mut tell };
        let fetched = download.fetch(address, &mut out).await.map_err(fail)?;
        out.flush().map_err(FleetError::io("write", temporary.path()))?;
        drop(out);
        let (store, address) = (self.clone(), address.to_owned());
        let work = move || match fetched {
            Fetched::NotModified => store.still_the_same(&address),
            Fetched::New { etag } => {
                let origin = Origin { location: address, etag, asked_at: Some(Timestamp::now()) };
                store.import_from(temporary.path(), origin, &mut |read| progress(format!("{read} read")))
            }
        };
        tokio::task::spawn_blocking(work).await.map_err(|_cancelled| FleetError::Cancelled)?
    }

    /// The publisher says that what is here is current: the source is young again.
    fn still_the_same(&self, address: &str) -> Result<ImportReport, FleetError> {
        let _held = self.lock()?;
        let old = self.to_build_on()?;
        let now = Timestamp::now();
        let mut sources = old.sources().to_vec();
        for source in sources.iter_mut().filter(|source| source.location == address) {
            source.as_of = now;
        }
        let new = self.replace(Builder::new(&old).finish(&sources))?;
        Ok(ImportReport { not_modified: true, ..report(address.to_owned(), (0, 0), &new) })
    }

    /// The addresses that `konzert db update` asks again.
    pub fn addresses(&self) -> Result<Vec<String>, FleetError> {
        let database = self.database()?;
        let locations = database.sources().iter().map(|source| source.location.clone());
        Ok(locations.filter(|l| l.starts_with("https://") || l.starts_with("http://")).collect())
    }

    /// The database that an import adds to. One of an older format is started anew: it cannot be read, and its readers say so.
    fn to_build_on(&self) -> Result<Arc<Database>, FleetError> {
        match self.database() {
            Err(FleetError::Database { path, source }) if source.is_old_format() => {
                tracing::warn!(path = %path.display(), %source, "the database is made anew: import every source again");
                Ok(Arc::default())
            }
            other => other,
        }
    }

    /// Durable when it returns: content, then name.
    fn replace(&self, bytes: Vec<u8>) -> Result<Database, FleetError> {
        let (dir, path) = (&self.inner.dir, self.file());
        let write = || {
            let mut file = tempfile::Builder::new().prefix(".advisories-").tempfile_in(dir)?;
            file.write_all(&bytes)?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            File::open(dir)?.sync_all()
        };
        write().map_err(FleetError::io("write", &path))?;
        Database::open(bytes.into()).map_err(|source| FleetError::Database { path, source })
    }

    /// The database as it is now; looked at again only when the file changed. Empty when nothing was imported yet.
    pub fn database(&self) -> Result<Arc<Database>, FleetError> {
        let path = self.file();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Arc::default()),
            Err(error) => return Err(FleetError::io("read", &path)(error)),
        };
        let metadata = file.metadata().map_err(FleetError::io("read", &path))?;
        let stamp = Stamp {
            inode: metadata.ino(),
            modified_s: metadata.mtime(),
            modified_ns: metadata.mtime_nsec(),
            bytes: metadata.len(),
        };
        let mut cached = self.inner.cached.lock();
        if let Some((known, database)) = &*cached
            && *known == stamp
        {
            return Ok(database.clone());
        }
        let damaged = |source| FleetError::Database { path: path.clone(), source };
        // Read for the checksum, mapped for use: reading does not keep the pages.
        verify(&file).map_err(damaged)?;
        let bytes = mapped::map(&file).map_err(FleetError::io("map", &path))?;
        let database = Arc::new(Database::open(bytes).map_err(damaged)?);
        *cached = Some((stamp, database.clone()));
        Ok(database)
    }

    /// Whether silence about an ecosystem means safety at a moment.
    pub fn trust(&self, database: &Database, ecosystem: &str, now: Timestamp) -> Trust {
        database.trust(ecosystem, now, self.inner.max_age)
    }

    /// How old a source may be.
    pub fn max_age(&self) -> SignedDuration {
        self.inner.max_age
    }

    /// What the database covers, and how old it is.
    pub fn status(&self) -> Result<DatabaseStatus, FleetError> {
        let database = self.database()?;
        let now = Timestamp::now();
        let newest = |at: Timestamp| if at > Timestamp::UNIX_EPOCH { at.to_string() } else { String::new() };
        let ecosystems = database.coverage().iter().map(|(name, covered)| EcosystemStatus {
            name: name.clone(),
            advisories: covered.advisories,
            newest: newest(covered.newest),
            stale: self.trust(&database, name, now) != Trust::Fresh,
        });
        let sources = database.sources().iter().map(|source| {
            let age = now.duration_since(source.as_of);
            SourceStatus {
                source: source.clone(),
                age_hours: age.as_hours(),
                stale: age > self.inner.max_age,
            }
        });
        let imported_at = database.sources().iter().map(|source| source.imported_at).max();
        Ok(DatabaseStatus {
            revision: database.revision().to_owned(),
            advisories: database.len(),
            priorities: database.priorities(),
            ecosystems: ecosystems.collect(),
            sources: sources.collect(),
            imported_at: imported_at.map(|at| at.to_string()),
        })
    }

    /// Fires when the database file was replaced, by this process or another. Needs a tokio runtime.
    pub fn changes(&self) -> Result<Changes, FleetError> {
        Changes::of(&self.inner.dir, FILE)
    }
}

fn report(source: String, (read, changed): (u64, u64), new: &Database) -> ImportReport {
    let (total, revision) = (new.len() as u64, new.revision().to_owned());
    ImportReport { source, read, changed, total, revision, not_modified: false }
}

/// A file knows of nothing that happened after its newest content or after it was written.
fn source(origin: Origin, imported: Imported, now: Timestamp) -> Source {
    let known_until = imported.newest.max(imported.written).unwrap_or(now).min(now);
    Source {
        location: origin.location,
        kinds: imported.kinds.into_iter().collect(),
        etag: origin.etag,
        imported_at: now,
        as_of: origin.asked_at.unwrap_or(known_until),
        newest: imported.newest,
        records: imported.records,
        ecosystems: imported.ecosystems,
    }
}

fn replaced(known: &[Source], new: Source) -> Vec<Source> {
    let mut sources: Vec<Source> = known.iter().filter(|s| s.location != new.location).cloned().collect();
    sources.push(new);
    sources.sort_by(|a, b| a.location.cmp(&b.location));
    sources
}
