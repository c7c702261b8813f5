//! The advisory database on disk: one file, replaced as a whole.
//!
//! Invariants: a reader sees the old file or the new one, never a part; imports of several processes do not lose each
//! other's work (a lock is held from reading to renaming); an import that fails changes nothing.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use konzert_advisories::Database;
use nix::fcntl::{Flock, FlockArg};
use parking_lot::Mutex;
use serde::Serialize;

use crate::changes::Changes;
use crate::{FleetError, importing};

const FILE: &str = "advisories.db";
const LOCK: &str = "import.lock";

/// The database of one data directory. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AdvisoryStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
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
    /// Advisories read.
    pub read: u64,
    /// New or changed ones.
    pub changed: u64,
    /// Advisories in the database now.
    pub total: u64,
    /// Revision of the database now.
    pub revision: String,
}

/// What the database covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseStatus {
    /// Empty when there are no advisories.
    pub revision: String,
    /// How many.
    pub advisories: usize,
    /// By ecosystem and release.
    pub ecosystems: Vec<EcosystemStatus>,
    /// Last import that changed something, RFC 3339.
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
    /// Newest change among them, RFC 3339.
    pub newest: String,
}

impl AdvisoryStore {
    /// Opens the database in `dir`, which is made when it is not there.
    pub fn open(dir: &Path) -> Result<Self, FleetError> {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(FleetError::io("create", dir))?;
        Ok(Self { inner: Arc::new(Inner { dir: dir.to_owned(), cached: Mutex::new(None) }) })
    }

    fn file(&self) -> PathBuf {
        self.inner.dir.join(FILE)
    }

    /// Imports a file, a directory, a zip or a tar of OSV records; `progress` is told how many were read.
    pub fn import(&self, path: &Path, progress: &mut dyn FnMut(u64)) -> Result<ImportReport, FleetError> {
        let advisories = importing::read(path, progress)?;
        let read = advisories.len() as u64;
        let lock_path = self.inner.dir.join(LOCK);
        let options = File::options().create(true).truncate(false).write(true).mode(0o600).open(&lock_path);
        let _held =
            Flock::lock(options.map_err(FleetError::io("open", &lock_path))?, FlockArg::LockExclusive)
                .map_err(|(_, errno)| FleetError::io("lock", &lock_path)(errno.into()))?;
        let (merged, changed) = self.database()?.merged(advisories);
        if changed > 0 {
            self.replace(&merged.to_bytes())?;
        }
        Ok(ImportReport {
            source: path.display().to_string(),
            read,
            changed: changed as u64,
            total: merged.len() as u64,
            revision: merged.revision().to_owned(),
        })
    }

    /// Durable when it returns: content, then name.
    fn replace(&self, bytes: &[u8]) -> Result<(), FleetError> {
        let (dir, path) = (&self.inner.dir, self.file());
        let write = || {
            let mut file = tempfile::Builder::new().prefix(".advisories-").tempfile_in(dir)?;
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            File::open(dir)?.sync_all()
        };
        write().map_err(FleetError::io("write", &path))
    }

    /// The database as it is now; read again only when the file changed. Empty when nothing was imported yet.
    pub fn database(&self) -> Result<Arc<Database>, FleetError> {
        let path = self.file();
        let metadata = match std::fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Arc::default()),
            Err(error) => return Err(FleetError::io("read", &path)(error)),
        };
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
        let bytes = std::fs::read(&path).map_err(FleetError::io("read", &path))?;
        let database =
            Database::from_bytes(&bytes).map_err(|source| FleetError::Database { path, source })?;
        let database = Arc::new(database);
        *cached = Some((stamp, database.clone()));
        Ok(database)
    }

    /// What the database covers, and how old it is.
    pub fn status(&self) -> Result<DatabaseStatus, FleetError> {
        let database = self.database()?;
        let ecosystems = database.coverage().iter().map(|(name, covered)| EcosystemStatus {
            name: name.clone(),
            advisories: covered.advisories,
            newest: covered.newest.to_string(),
        });
        let modified = std::fs::metadata(self.file()).and_then(|m| m.modified()).ok();
        Ok(DatabaseStatus {
            revision: database.revision().to_owned(),
            advisories: database.len(),
            ecosystems: ecosystems.collect(),
            imported_at: modified.and_then(|at| Timestamp::try_from(at).ok()).map(|at| at.to_string()),
        })
    }

    /// Fires when the database file was replaced, by this process or another. Needs a tokio runtime.
    pub fn changes(&self) -> Result<Changes, FleetError> {
        Changes::of(&self.inner.dir, FILE)
    }
}
