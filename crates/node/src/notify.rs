//! Being told of changes in a directory (inotify), without polling.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify;
use tokio::io::unix::AsyncFd;

/// Changes in a directory.
pub(crate) struct DirWatch {
    fd: AsyncFd<OwnedFd>,
}

impl DirWatch {
    pub(crate) fn new(dir: &Path, what: inotify::WatchFlags) -> io::Result<Self> {
        let fd = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        inotify::add_watch(&fd, dir, what)?;
        Ok(Self { fd: register(fd)? })
    }

    /// Waits until something happened.
    pub(crate) async fn wait(&mut self) -> io::Result<()> {
        self.fd.readable().await?.retain_ready();
        Ok(())
    }

    /// Forgets what happened so far.
    pub(crate) fn drain(&mut self) -> io::Result<()> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        loop {
            match rustix::io::read(self.fd.get_ref(), &mut buffer) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return self.rearm(),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Tells the reactor that the queue is empty.
    fn rearm(&mut self) -> io::Result<()> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        if let std::task::Poll::Ready(ready) = self.fd.poll_read_ready(&mut context) {
            ready?.clear_ready();
        }
        Ok(())
    }
}

#[allow(
    deprecated,
    reason = "deprecated for types that may change or close their descriptor; an OwnedFd does neither, and the \
              replacement is an unsafe function"
)]
fn register(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(fd)
}
