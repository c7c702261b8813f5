//! Tells when a file in a directory was replaced, by inotify; does not poll.

use std::ffi::OsString;
use std::os::fd::{AsFd as _, AsRawFd, RawFd};
use std::path::{Path, PathBuf};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::unix::AsyncFd;

use crate::FleetError;

/// tokio asks for the raw descriptor.
#[derive(Debug)]
struct Watched(Inotify);

impl AsRawFd for Watched {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

#[expect(
    deprecated,
    reason = "its successor is unsafe; the value owns its descriptor, which is what it asks for"
)]
fn register(notify: Inotify) -> std::io::Result<AsyncFd<Watched>> {
    AsyncFd::new(Watched(notify))
}

/// Replacements of one file.
#[derive(Debug)]
pub struct Changes {
    notify: AsyncFd<Watched>,
    path: PathBuf,
    name: OsString,
}

impl Changes {
    pub(crate) fn of(dir: &Path, name: &str) -> Result<Self, FleetError> {
        let fail = FleetError::io("watch", dir);
        let open = || {
            let notify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
            notify.add_watch(
                dir,
                AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_DELETE,
            )?;
            register(notify)
        };
        Ok(Self { notify: open().map_err(fail)?, path: dir.to_owned(), name: name.into() })
    }

    /// Completes when the file was replaced since the last call.
    pub async fn next(&mut self) -> Result<(), FleetError> {
        loop {
            let mut ready = self.notify.readable().await.map_err(FleetError::io("watch", &self.path))?;
            match ready.get_inner().0.read_events() {
                Ok(events) if events.iter().any(|e| e.name.as_ref() == Some(&self.name)) => return Ok(()),
                Ok(_other_files) => {}
                Err(nix::errno::Errno::EAGAIN) => ready.clear_ready(),
                Err(errno) => return Err(FleetError::io("watch", &self.path)(errno.into())),
            }
        }
    }
}
