//! Start, exit, output, signals, many at once.

use std::fs;
use std::time::{Duration, Instant};

use konzert_runtime::{RuntimeError, Status};

use super::Case;
use crate::bed::{Bed, wait_exit};

pub(crate) fn cases() -> Vec<(&'static str, Case)> {
    vec![
        ("exit_codes", |bed| Box::pin(exit_codes(bed))),
        ("a_signal_is_told_apart_from_a_code", |bed| Box::pin(killed(bed))),
        ("output_becomes_a_log", |bed| Box::pin(output(bed))),
        ("a_restart_continues_the_log", |bed| Box::pin(log_continues(bed))),
        ("logs_rotate_by_size", |bed| Box::pin(rotation(bed))),
        ("signals_reach_the_program", |bed| Box::pin(signals(bed))),
        ("stop_uses_the_container_s_own_signal", |bed| Box::pin(stop_signal(bed))),
        ("list_and_stats", |bed| Box::pin(list_and_stats(bed))),
        ("orphans_inside_are_no_obstacle", |bed| Box::pin(orphans(bed))),
        ("thirty_at_once", |bed| Box::pin(crowd(bed))),
    ]
}

async fn exit_codes(bed: &Bed) {
    for code in ["0", "3", "255"] {
        let name = format!("exit-{code}");
        let exit = bed.run(&bed.spec(&name, &["exit", code])).await;
        assert_eq!((exit.code.to_string().as_str(), exit.signal, exit.oom_killed), (code, None, false));
        assert_eq!(bed.status(&name).await, Some(Status::Exited(exit)));
    }
}

async fn killed(bed: &Bed) {
    let mut events = bed.runtime.events();
    let spec = bed.spec("victim", &["sleep"]);
    bed.runtime.create_and_start(&spec).await.unwrap();
    bed.runtime.signal(&spec.id, 9).await.unwrap();
    let exit = wait_exit(&mut events, &spec.id).await;
    assert_eq!((exit.code, exit.signal, exit.oom_killed), (137, Some(9), false));
    let refused = bed.runtime.signal(&spec.id, 9).await;
    assert!(matches!(refused, Err(RuntimeError::NotRunning { .. })), "{refused:?}");
}

async fn output(bed: &Bed) {
    bed.run(&bed.spec("talker", &["say", "hello", "wörld"])).await;
    let mut lines = bed.log("talker");
    lines.sort();
    assert_eq!(lines, ["stderr F warning", "stdout F hello wörld", "stdout F unfinished"]);
    let text = fs::read_to_string(bed.log_path("talker")).unwrap();
    for line in text.lines() {
        let time = line.split(' ').next().unwrap();
        assert!(time.parse::<jiff::Timestamp>().is_ok() && time.ends_with('Z'), "{line}");
    }
    bed.run(&bed.spec("listener", &["stdin"])).await;
    assert_eq!(bed.log("listener"), ["stdout F Ok(0)"]);
}

async fn log_continues(bed: &Bed) {
    for code in ["1", "2"] {
        let mut spec = bed.spec("again", &["count", code]);
        spec.id = Bed::id(&format!("again-{code}"));
        bed.run(&spec).await;
    }
    assert_eq!(bed.log("again"), ["stdout F line 0", "stdout F line 0", "stdout F line 1"]);
}

async fn rotation(bed: &Bed) {
    let mut spec = bed.spec("chatty", &["count", "2000"]);
    spec.log.max_bytes = 10_000;
    spec.log.max_files = 4;
    bed.run(&spec).await;
    let mut numbers = Vec::new();
    for suffix in [".3", ".2", ".1", ""] {
        let path = format!("{}{suffix}", bed.log_path("chatty").display());
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.len() < 10_100, "{path} has {} bytes", text.len());
        numbers.extend(text.lines().map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()));
    }
    assert!(numbers.len() > 600, "{}", numbers.len());
    assert_eq!(numbers, (2000 - numbers.len()..2000).collect::<Vec<_>>());
    assert!(!fs::exists(format!("{}.4", bed.log_path("chatty").display())).unwrap());
}

async fn signals(bed: &Bed) {
    for (signal, number) in [("SIGTERM", 15), ("SIGUSR1", 10), ("SIGHUP", 1)] {
        let mut events = bed.runtime.events();
        let spec = bed.spec(&format!("obey-{number}"), &["obey", signal, "7"]);
        bed.runtime.create_and_start(&spec).await.unwrap();
        bed.wait_log(spec.id.as_str(), "stdout F ready").await;
        bed.runtime.signal(&spec.id, number).await.unwrap();
        assert_eq!(wait_exit(&mut events, &spec.id).await.code, 7);
        assert!(bed.log(spec.id.as_str()).contains(&format!("stdout F got {signal}")));
    }
}

async fn stop_signal(bed: &Bed) {
    let mut events = bed.runtime.events();
    let mut spec = bed.spec("quits", &["obey", "SIGQUIT", "5"]);
    spec.stop_signal = konzert_runtime::parse_signal("SIGQUIT").unwrap();
    bed.runtime.create_and_start(&spec).await.unwrap();
    bed.wait_log("quits", "stdout F ready").await;
    bed.runtime.stop(&spec.id).await.unwrap();
    assert_eq!(wait_exit(&mut events, &spec.id).await.code, 5);
}

async fn list_and_stats(bed: &Bed) {
    let mut spec = bed.spec("busy", &["sleep"]);
    spec.labels.insert("pod".into(), "p1".into());
    let started = bed.runtime.create_and_start(&spec).await.unwrap();
    let again = bed.runtime.create_and_start(&spec).await;
    assert!(matches!(again, Err(RuntimeError::AlreadyExists { .. })), "{again:?}");
    let all = bed.runtime.list().await;
    assert_eq!(all.len(), 1);
    assert_eq!(
        (all[0].pid, all[0].started_at, &all[0].labels),
        (started.pid, started.started_at, &spec.labels)
    );
    assert_eq!(all[0].status, Status::Running);
    let stats = bed.runtime.stats(&spec.id).await.unwrap();
    assert_eq!(stats.pids, 1);
    assert!(stats.memory_bytes > 0 && stats.cpu_usec > 0, "{stats:?}");
    bed.runtime.remove(&spec.id).await.unwrap();
    bed.runtime.remove(&spec.id).await.unwrap();
    assert!(bed.runtime.list().await.is_empty());
    assert!(!fs::exists(format!("/proc/{}", started.pid)).unwrap());
}

async fn orphans(bed: &Bed) {
    let exit = bed.run(&bed.spec("parent", &["orphan"])).await;
    assert_eq!(exit.code, 0);
}

async fn crowd(bed: &mut Bed) {
    let mut events = bed.runtime.events();
    let specs: Vec<_> =
        (0..30).map(|number| bed.spec(&format!("crowd-{number}"), &["obey", "SIGTERM", "0"])).collect();
    let begun = Instant::now();
    let mut alone = Duration::MAX;
    let starts = specs.iter().map(|spec| async {
        let begun = Instant::now();
        bed.runtime.create_and_start(spec).await.unwrap();
        begun.elapsed()
    });
    let took = futures_join(starts).await;
    println!("30 containers at once: {:?} in all, slowest {:?}", begun.elapsed(), took.iter().max().unwrap());
    assert_eq!(bed.runtime.list().await.len(), 30);
    for number in 0..5 {
        let spec = bed.spec(&format!("alone-{number}"), &["sleep"]);
        let begun = Instant::now();
        bed.runtime.create_and_start(&spec).await.unwrap();
        alone = alone.min(begun.elapsed());
    }
    println!("one container beside them, create to running, best of 5: {alone:?}");
    println!("memory of a shim: {}", shim_memory(bed));
    for spec in &specs {
        bed.wait_log(spec.id.as_str(), "stdout F ready").await;
        bed.runtime.signal(&spec.id, 15).await.unwrap();
    }
    let mut ended = 0;
    while ended < specs.len() {
        let konzert_runtime::RuntimeEvent::Exited { id, exit } = events.recv().await.unwrap();
        assert_eq!(exit.code, 0, "{id}");
        ended += 1;
    }
}

/// Polls all of them until the last is done.
async fn futures_join<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut waiting: Vec<_> = all.map(|one| (Box::pin(one), None)).collect();
    std::future::poll_fn(|context| {
        for (future, value) in &mut waiting {
            if value.is_none()
                && let std::task::Poll::Ready(done) = future.as_mut().poll(context)
            {
                *value = Some(done);
            }
        }
        if waiting.iter().all(|(_, value)| value.is_some()) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    waiting.into_iter().filter_map(|(_, value)| value).collect()
}

/// Proportional and private memory of one shim, as the kernel counts it.
fn shim_memory(bed: &Bed) -> String {
    let pid = bed.shim_pid("crowd-0");
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let wanted = ["Rss", "Pss", "Pss_Anon", "Pss_File", "Private_Dirty"];
    let lines = rollup.lines().filter(|line| {
        wanted.iter().any(|key| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':')))
    });
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join(", ")
}
