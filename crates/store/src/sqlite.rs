//! The embedded back end: one `SQLite` database in WAL mode with `synchronous=FULL`.
//!
//! Invariants:
//! 1. A batch is one transaction; `commit` returns after its fsync.
//! 2. The database belongs to one process: `locking_mode=EXCLUSIVE`, so a second one gets
//!    [`BackendError::InUse`].
//! 3. `meta.reserved` is never below a revision that was given out, so revisions do not go back after a
//!    crash.
//! 4. Files are 0600 in a directory that is 0700 when made here; `SQLite` gives the WAL the mode of the
//!    database.
//! 5. The WAL is bounded: checkpoints every 1,000 pages, truncated to the size limit, removed on close.
//!
//! It does not keep history: a watch from before the restart gets `Compacted`, and the client lists again.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior, params};

use crate::backend::{
    Backend, Batch, Committed, ForeignChange, Nudge, Op, OpChange, OpResult, Opened, Record, Tenancy,
};
use crate::{BackendError, Certainty, CommitError, Revision};

/// The name of the database file in the state directory.
pub const DATABASE_FILE: &str = "konzert.db";

/// "knzt": marks the file as ours.
const APPLICATION_ID: i32 = 0x6b6e_7a74;
const SCHEMA_VERSION: i32 = 1;
const WAL_LIMIT_BYTES: i64 = 8 << 20;

const SCHEMA: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
INSERT INTO meta (name, value) VALUES ('reserved', 0);
CREATE TABLE entry (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    created INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    value BLOB NOT NULL
) STRICT;
";

/// Keeps a store in an `SQLite` database.
#[derive(Debug)]
pub struct SqliteBackend {
    dir: PathBuf,
    path: PathBuf,
    connection: Option<Connection>,
    reserved: Revision,
}

impl SqliteBackend {
    /// A back end over `<dir>/konzert.db`; nothing is touched before the store opens it.
    pub fn new(dir: &Path) -> Self {
        let path = dir.join(DATABASE_FILE);
        Self { dir: dir.to_path_buf(), path, connection: None, reserved: Revision(0) }
    }

    /// Makes directory and file with their modes, before `SQLite` would make them with wider ones.
    fn prepare_files(&self) -> Result<(), BackendError> {
        let io_error = |path: &Path| {
            let path = path.to_path_buf();
            move |source| BackendError::Io { path, source }
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir).map_err(io_error(&self.dir))?;
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&self.path)
            .map_err(io_error(&self.path))?;
        let mode = file.metadata().map_err(io_error(&self.path))?.permissions().mode() & 0o777;
        if mode != 0o600 {
            file.set_permissions(fs::Permissions::from_mode(0o600)).map_err(io_error(&self.path))?;
        }
        // The names must survive a power cut as well as what is in the file.
        for dir in [Some(self.dir.as_path()), self.dir.parent()].into_iter().flatten() {
            let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
            fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(io_error(dir))?;
        }
        Ok(())
    }

    fn connect(&self) -> Result<Connection, BackendError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags).map_err(|error| self.error(error))?;
        // Exclusive locking comes before the first read: then the index of the WAL lives on the heap and
        // needs no shared file. Whoever else holds the database will not give it back soon, so there is no
        // point in waiting.
        connection
            .busy_timeout(Duration::ZERO)
            .and_then(|()| connection.execute_batch("PRAGMA locking_mode=EXCLUSIVE"))
            .map_err(|error| self.error(error))?;
        self.check_owner(&connection)?;
        let mode: String = connection
            .query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))
            .map_err(|error| self.error(error))?;
        if mode != "wal" {
            return Err(BackendError::NoWal { path: self.path.clone(), mode });
        }
        connection
            .execute_batch(&format!(
                "PRAGMA synchronous=FULL;
                 PRAGMA wal_autocheckpoint=1000;
                 PRAGMA journal_size_limit={WAL_LIMIT_BYTES};
                 PRAGMA cell_size_check=ON;
                 PRAGMA trusted_schema=OFF;"
            ))
            .map_err(|error| self.error(error))?;
        Ok(connection)
    }

    /// Refuses files of other programs and of newer versions before anything is written.
    fn check_owner(&self, connection: &Connection) -> Result<(), BackendError> {
        let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i32>(0));
        let application_id = number("PRAGMA application_id").map_err(|error| self.error(error))?;
        let version = number("PRAGMA user_version").map_err(|error| self.error(error))?;
        let objects = number("SELECT count(*) FROM sqlite_schema").map_err(|error| self.error(error))?;
        let path = self.path.clone();
        match (application_id, version) {
            (0, 0) if objects == 0 => Ok(()),
            (APPLICATION_ID, found) if found > SCHEMA_VERSION => {
                Err(BackendError::NewerSchema { path, found, supported: SCHEMA_VERSION })
            }
            (APPLICATION_ID, SCHEMA_VERSION) => Ok(()),
            (APPLICATION_ID, found) => {
                Err(BackendError::Corrupt { path, detail: format!("schema version {found} does not exist") })
            }
            _ => Err(BackendError::Foreign { path, application_id }),
        }
    }

    fn create_schema(&self, connection: &mut Connection) -> Result<(), BackendError> {
        let version: i32 = connection
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .map_err(|error| self.error(error))?;
        if version == SCHEMA_VERSION {
            return Ok(());
        }
        let create = |connection: &mut Connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute_batch(SCHEMA)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
            transaction.commit()
        };
        create(connection).map_err(|error| self.error(error))
    }

    fn error(&self, source: rusqlite::Error) -> BackendError {
        classify(&self.path, source)
    }

    fn opened(&mut self) -> Result<&mut Connection, BackendError> {
        // Only a store that never opened, or that closed, gets here without a connection.
        self.connection.as_mut().ok_or(BackendError::OutcomeUnknown)
    }

    fn corrupt(&self, detail: String) -> BackendError {
        BackendError::Corrupt { path: self.path.clone(), detail }
    }
}

/// Gives a failure of `SQLite` its name.
fn classify(path: &Path, source: rusqlite::Error) -> BackendError {
    let path = path.to_path_buf();
    match source.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => BackendError::Full { path },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => BackendError::InUse { path },
        Some(ErrorCode::NotADatabase) => BackendError::NotADatabase { path },
        Some(ErrorCode::DatabaseCorrupt) => BackendError::Corrupt { path, detail: source.to_string() },
        Some(ErrorCode::CannotOpen) => BackendError::Io { path, source: io::Error::other(source) },
        _ => BackendError::Sqlite { path, source },
    }
}

/// Why a transaction ended without a commit.
enum Refused {
    Sqlite(rusqlite::Error),
    /// The row is not as memory says.
    Disagrees(String),
}

impl From<rusqlite::Error> for Refused {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn apply(transaction: &Transaction<'_>, op: &Op) -> Result<(), Refused> {
    let revision = op.revision.0.cast_signed();
    let rows = match (&op.change, op.held) {
        (OpChange::Put(value), None) => transaction
            .prepare_cached("INSERT INTO entry (key, created, modified, value) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![&*op.key, op.created.0.cast_signed(), revision, &value[..]])?,
        (OpChange::Put(value), Some(held)) => transaction
            .prepare_cached("UPDATE entry SET modified = ?2, value = ?3 WHERE key = ?1 AND modified = ?4")?
            .execute(params![&*op.key, revision, &value[..], held.0.cast_signed()])?,
        (OpChange::Delete, Some(held)) => transaction
            .prepare_cached("DELETE FROM entry WHERE key = ?1 AND modified = ?2")?
            .execute(params![&*op.key, held.0.cast_signed()])?,
        (OpChange::Delete, None) => 0,
    };
    if rows == 1 { Ok(()) } else { Err(Refused::Disagrees(format!("{} is not as it was written", op.key))) }
}

fn fill(transaction: &Transaction<'_>, batch: &Batch) -> Result<(), Refused> {
    for op in &batch.ops {
        apply(transaction, op)?;
    }
    if let Some(reserve) = batch.reserve {
        reserve_revision(transaction, reserve)?;
    }
    Ok(())
}

fn reserve_revision(connection: &Connection, reserve: Revision) -> Result<(), rusqlite::Error> {
    connection
        .prepare_cached("UPDATE meta SET value = ?1 WHERE name = 'reserved'")?
        .execute([reserve.0.cast_signed()])
        .map(|_| ())
}

impl Backend for SqliteBackend {
    fn open(&mut self, _nudge: Nudge) -> Result<Opened, BackendError> {
        self.prepare_files()?;
        let mut connection = self.connect()?;
        self.create_schema(&mut connection)?;
        let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        let reserved =
            number("SELECT value FROM meta WHERE name = 'reserved'").map_err(|error| self.error(error))?;
        let newest =
            number("SELECT coalesce(max(modified), 0) FROM entry").map_err(|error| self.error(error))?;
        if reserved < newest {
            return Err(self.corrupt(format!("revision {newest} is above the reserved {reserved}")));
        }
        self.reserved = Revision(reserved.cast_unsigned());
        self.connection = Some(connection);
        Ok(Opened { revision: self.reserved, tenancy: Tenancy::Exclusive })
    }

    fn range(
        &mut self,
        after: Option<&str>,
        limit: usize,
        _at: Revision,
    ) -> Result<Vec<Record>, BackendError> {
        let path = self.path.clone();
        let connection = self.opened()?;
        let read = |connection: &Connection| {
            let mut statement = connection.prepare_cached(
                "SELECT key, created, modified, value FROM entry WHERE key > ?1 ORDER BY key LIMIT ?2",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = statement.query_map(params![after.unwrap_or(""), limit], |row| {
                Ok(Record {
                    key: row.get_ref(0)?.as_str()?.into(),
                    created: Revision(row.get::<_, i64>(1)?.cast_unsigned()),
                    modified: Revision(row.get::<_, i64>(2)?.cast_unsigned()),
                    value: Bytes::copy_from_slice(row.get_ref(3)?.as_blob()?),
                })
            })?;
            rows.collect::<Result<Vec<_>, _>>()
        };
        read(connection).map_err(|error| classify(&path, error))
    }

    fn commit(&mut self, batch: &Batch) -> Result<Committed, CommitError> {
        let path = self.path.clone();
        let refused = |cause| CommitError { certainty: Certainty::NothingKept, cause };
        let connection = self.opened().map_err(refused)?;
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| refused(classify(&path, error)))?;
        if let Err(error) = fill(&transaction, batch) {
            // Dropping the transaction rolls it back; nothing of it can be on disk without a commit.
            return Err(match error {
                Refused::Sqlite(error) => refused(classify(&path, error)),
                // Memory and disk tell different stories, so neither is to be trusted with more.
                Refused::Disagrees(detail) => CommitError {
                    certainty: Certainty::Unknown,
                    cause: BackendError::Corrupt { path, detail },
                },
            });
        }
        transaction.commit().map_err(|error| {
            // A full disk stops the write of the commit record. Any other failure may come after it was
            // written.
            let certainty = match error.sqlite_error_code() {
                Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy) => Certainty::NothingKept,
                _ => Certainty::Unknown,
            };
            CommitError { certainty, cause: classify(&path, error) }
        })?;
        self.reserved = batch.reserve.unwrap_or(self.reserved);
        let results = batch.ops.iter().map(|op| OpResult::Done(op.revision)).collect();
        Ok(Committed { results, foreign: Vec::new() })
    }

    fn changes(&mut self, _after: Revision) -> Result<Vec<ForeignChange>, BackendError> {
        Ok(Vec::new())
    }

    fn close(&mut self, revision: Revision) -> Result<(), BackendError> {
        let Some(connection) = self.connection.take() else { return Ok(()) };
        // Give back what was reserved and not used. Never lower: a failed write may have used a revision.
        if revision < self.reserved {
            reserve_revision(&connection, revision).map_err(|error| self.error(error))?;
        }
        // SQLite writes the WAL back and removes it when the last connection closes.
        connection.close().map_err(|(_, error)| self.error(error))
    }
}
