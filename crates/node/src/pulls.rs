//! How many pulls go on at once: one per image, a few in all.
//!
//! Whoever waits for an image looks for it again when it is his turn: credentials of one pod are not those of another, so that
//! nobody gets the outcome of somebody else's pull.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

/// Images that are pulled at once.
const AT_ONCE: usize = 3;

/// The queues.
#[derive(Debug)]
pub(crate) struct Pulls {
    by_image: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
    places: Arc<Semaphore>,
}

/// The right to pull an image now.
#[derive(Debug)]
pub(crate) struct Turn {
    _image: OwnedMutexGuard<()>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Default for Pulls {
    fn default() -> Self {
        Self { by_image: Mutex::default(), places: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Pulls {
    /// Waits until nobody pulls this image and there is room for another pull.
    pub(crate) async fn turn(&self, image: &str) -> Turn {
        let queue = {
            let mut queues = self.by_image.lock();
            queues.retain(|_, queue| queue.strong_count() > 0);
            let known = queues.get(image).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let new = Arc::default();
                queues.insert(image.to_owned(), Arc::downgrade(&new));
                new
            })
        };
        let image = queue.lock_owned().await;
        // It is never closed; without a place there is just no bound.
        let place = self.places.clone().acquire_owned().await.ok();
        Turn { _image: image, _place: place }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll(work: std::pin::Pin<&mut impl Future<Output = Turn>>) -> Option<Turn> {
        match work.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(turn) => Some(turn),
            Poll::Pending => None,
        }
    }

    #[test]
    fn one_per_image_and_a_few_in_all() {
        let pulls = Pulls::default();
        let first = poll(pin!(pulls.turn("a"))).expect("nobody pulls");
        let mut again = pin!(pulls.turn("a"));
        assert!(poll(again.as_mut()).is_none(), "the same image waits");
        let others: Vec<_> = ["b", "c"].map(|image| poll(pin!(pulls.turn(image)))).into_iter().collect();
        assert!(others.iter().all(Option::is_some));
        let mut fourth = pin!(pulls.turn("d"));
        assert!(poll(fourth.as_mut()).is_none(), "there is no room for a fourth");
        drop(others);
        assert!(poll(fourth.as_mut()).is_some());
        drop(first);
        assert!(poll(again.as_mut()).is_some());
    }
}
