//! The queue under a paused clock.

use super::*;

fn key(name: &str) -> Key {
    Key { controller: 0, namespace: String::new(), name: name.to_owned() }
}

async fn next_within(queue: &Queue, patience: Duration) -> Option<String> {
    tokio::time::timeout(patience, queue.next()).await.ok().map(|key| key.name)
}

const AN_HOUR: Duration = Duration::from_hours(1);

#[tokio::test(start_paused = true)]
async fn a_key_woken_many_times_runs_once() {
    let queue = Queue::default();
    queue.wake(key("a"));
    queue.wake(key("a"));
    queue.wake(key("b"));
    assert_eq!(next_within(&queue, AN_HOUR).await.as_deref(), Some("a"));
    assert_eq!(next_within(&queue, AN_HOUR).await.as_deref(), Some("b"));
    assert_eq!(next_within(&queue, AN_HOUR).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_key_woken_while_it_runs_runs_again_afterwards_and_not_beside() {
    let queue = Queue::default();
    queue.wake(key("a"));
    let running = queue.next().await;
    queue.wake(key("a"));
    assert_eq!(next_within(&queue, AN_HOUR).await, None);
    queue.done(running, Done::Settled(None));
    assert_eq!(next_within(&queue, AN_HOUR).await.as_deref(), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn failures_wait_longer_each_time_and_success_forgives() {
    let queue = Queue::default();
    queue.wake(key("a"));
    let mut pauses = Vec::new();
    for _ in 0..4 {
        let running = queue.next().await;
        let start = Instant::now();
        queue.done(running, Done::Failed);
        let again = queue.next().await;
        pauses.push(start.elapsed().as_millis());
        queue.done(again, Done::Failed);
    }
    assert!(pauses.windows(2).all(|pair| pair[0] < pair[1]), "{pauses:?}");
    let running = queue.next().await;
    queue.done(running, Done::Settled(None));
    assert_eq!(next_within(&queue, AN_HOUR).await, None, "a settled key stays quiet");
}

#[tokio::test(start_paused = true)]
async fn a_change_beats_a_timer_but_a_timer_comes_without_a_change() {
    let queue = Queue::default();
    queue.wake(key("a"));
    let running = queue.next().await;
    queue.done(running, Done::Settled(Some(Duration::from_mins(10))));
    assert_eq!(next_within(&queue, Duration::from_secs(599)).await, None);
    queue.wake(key("a"));
    let running = queue.next().await;
    queue.done(running, Done::Settled(None));
    assert_eq!(next_within(&queue, AN_HOUR).await, None, "the earlier timer was replaced");
    queue.wake(key("a"));
    let running = queue.next().await;
    queue.done(running, Done::Settled(Some(Duration::from_mins(10))));
    assert_eq!(next_within(&queue, AN_HOUR).await.as_deref(), Some("a"));
}
