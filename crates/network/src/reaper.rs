//! Deletes links in the background.
//!
//! The kernel takes tens of milliseconds to delete a link, because it waits until nobody looks at it any
//! more. A pod that goes must not make the next pod wait for that; its route is gone at once, only the link
//! takes its time.

use std::sync::mpsc;
use std::thread::JoinHandle;

use crate::netlink::Netlink;
use crate::{NetworkError, route};

/// The thread that deletes.
#[derive(Debug)]
pub(crate) struct Reaper {
    links: mpsc::Sender<u32>,
    thread: JoinHandle<()>,
}

impl Reaper {
    /// Starts it in the network namespace of the calling thread.
    pub(crate) fn start() -> Result<Self, NetworkError> {
        let mut netlink = route::open()?;
        let (links, received) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("konzert-net-reap".into())
            .spawn(move || delete(&mut netlink, &received))
            .map_err(NetworkError::Thread)?;
        Ok(Self { links, thread })
    }

    /// Has the link with this index deleted soon.
    pub(crate) fn delete(&self, link: u32) {
        if let Err(error) = self.links.send(link) {
            tracing::warn!(
                link = error.0,
                "the link stays until the next start: the thread that deletes links has died"
            );
        }
    }

    /// Waits until everything is deleted.
    pub(crate) fn finish(self) {
        drop(self.links);
        if self.thread.join().is_err() {
            tracing::warn!("the thread that deletes links has died");
        }
    }
}

fn delete(netlink: &mut Netlink, links: &mpsc::Receiver<u32>) {
    while let Ok(link) = links.recv() {
        if let Err(error) = route::delete_link(netlink, link) {
            tracing::warn!(
                link,
                error = &error as &dyn std::error::Error,
                "the link stays until the next start"
            );
        }
    }
}
