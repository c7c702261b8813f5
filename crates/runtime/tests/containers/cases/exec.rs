//! Programs run inside running containers.

use std::time::Duration;

use konzert_runtime::{ContainerSpec, ExecExit, ExecOutcome, ExecRequest, RuntimeError, User};

use super::Case;
use crate::bed::{Bed, wait_exit};

pub(crate) fn cases() -> Vec<(&'static str, Case)> {
    vec![
        ("exec_gives_code_and_output", |bed| Box::pin(code_and_output(bed))),
        ("exec_runs_confined_like_the_container", |bed| Box::pin(confined(bed))),
        ("exec_ends_when_its_time_is_up", |bed| Box::pin(timeout(bed))),
        ("exec_that_cannot_start_says_why", |bed| Box::pin(not_found(bed))),
        ("exec_does_not_hold_up_the_shim", |bed| Box::pin(not_held_up(bed))),
        ("exec_ends_with_its_container", |bed| Box::pin(ends_with_container(bed))),
    ]
}

fn request(words: &[&str]) -> ExecRequest {
    let mut args = vec!["program".to_owned(), "payload".to_owned()];
    args.extend(words.iter().map(ToString::to_string));
    ExecRequest { args, timeout: Duration::from_secs(30), output_limit_bytes: 64 << 10 }
}

async fn exec(bed: &Bed, name: &str, request: ExecRequest) -> ExecOutcome {
    bed.runtime.exec(&Bed::id(name), request).await.unwrap()
}

async fn code_and_output(bed: &Bed) {
    bed.runtime.create_and_start(&bed.spec("host", &["sleep"])).await.unwrap();
    assert_eq!(exec(bed, "host", request(&["exit", "42"])).await.exit, ExecExit::Code(42));
    let said = exec(bed, "host", request(&["say", "hi"])).await;
    assert_eq!(said.output, b"hi\nwarning\nunfinished");
    assert!(!said.truncated);
    assert_eq!(exec(bed, "host", request(&["crash"])).await.exit, ExecExit::Code(137));
    let mut long = request(&["count", "100000"]);
    long.output_limit_bytes = 1000;
    let counted = exec(bed, "host", long).await;
    assert_eq!((counted.exit, counted.output.len(), counted.truncated), (ExecExit::Code(0), 1000, true));
    let empty = ExecRequest { args: Vec::new(), ..request(&[]) };
    let refused = bed.runtime.exec(&Bed::id("host"), empty).await;
    assert!(matches!(refused, Err(RuntimeError::ExecFailed { .. })), "{refused:?}");
    assert!(bed.log("host").is_empty(), "the output of an exec is not the container's");
}

async fn confined(bed: &Bed) {
    let mut spec = bed.spec("jail", &["sleep"]);
    spec.user = User { uid: 1000, gid: 2000, additional_gids: vec![3000] };
    spec.cwd = "/bin".into();
    spec.security.drop_capabilities = vec!["ALL".into()];
    spec.resources.pids_limit = Some(64);
    bed.runtime.create_and_start(&spec).await.unwrap();
    let text = String::from_utf8(exec(bed, "jail", request(&["facts"])).await.output).unwrap();
    let wanted = [
        "Uid=1000 1000 1000 1000",
        "Groups=3000",
        "Seccomp=2",
        "CapBnd=0000000000000000",
        "hostname=jail",
        "cwd=/bin",
        "env:COLOUR=blue",
        "fds=3",
    ];
    for line in wanted {
        assert!(text.lines().any(|known| known == line), "no {line} in {text}");
    }
    let tried = String::from_utf8(exec(bed, "jail", request(&["forbidden"])).await.output).unwrap();
    assert!(tried.contains("unshare=1\nbpf=1\n"), "{tried}");
}

async fn timeout(bed: &Bed) {
    bed.runtime.create_and_start(&bed.spec("slow", &["sleep"])).await.unwrap();
    let mut endless = request(&["sleep"]);
    endless.timeout = Duration::from_millis(200);
    assert_eq!(exec(bed, "slow", endless).await.exit, ExecExit::TimedOut);
    assert_eq!(bed.runtime.stats(&Bed::id("slow")).await.unwrap().pids, 1, "what timed out is dead");
}

async fn not_found(bed: &Bed) {
    bed.runtime.create_and_start(&bed.spec("bare", &["sleep"])).await.unwrap();
    for _ in 0..3 {
        let wanted = ExecRequest { args: vec!["/nope".into()], ..request(&[]) };
        match bed.runtime.exec(&Bed::id("bare"), wanted).await {
            Err(RuntimeError::ExecFailed { message, exit_code, .. }) => {
                assert_eq!(
                    (message.as_str(), exit_code),
                    ("exec: \"/nope\": no such file or directory", 127)
                );
            }
            other => panic!("{other:?}"),
        }
    }
    // What failed must not keep the container's namespace from ending.
    bed.runtime.remove(&Bed::id("bare")).await.unwrap();
    let gone = bed.runtime.exec(&Bed::id("bare"), request(&["exit", "0"])).await;
    assert!(matches!(gone, Err(RuntimeError::NotFound { .. })), "{gone:?}");
}

async fn not_held_up(bed: &Bed) {
    let mut events = bed.runtime.events();
    let spec = bed.spec("patient", &["obey", "SIGTERM", "0"]);
    bed.runtime.create_and_start(&spec).await.unwrap();
    bed.wait_log("patient", "stdout F ready").await;
    let hanging = bed.runtime.exec(&spec.id, request(&["linger", "/sign"]));
    let meanwhile = async {
        wait_sign(&spec).await;
        assert_eq!(exec(bed, "patient", request(&["exit", "1"])).await.exit, ExecExit::Code(1));
        bed.runtime.signal(&spec.id, 15).await.unwrap();
        assert_eq!(wait_exit(&mut events, &spec.id).await.code, 0);
    };
    let (hung, ()) = tokio::join!(hanging, meanwhile);
    assert!(matches!(hung, Ok(ExecOutcome { exit: ExecExit::Code(137), .. })), "{hung:?}");
}

/// Waits for the file by which a lingering program shows that it runs.
async fn wait_sign(spec: &ContainerSpec) {
    while !spec.rootfs.join("sign").exists() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn ends_with_container(bed: &Bed) {
    let spec = bed.spec("doomed", &["sleep"]);
    bed.runtime.create_and_start(&spec).await.unwrap();
    let hanging = bed.runtime.exec(&spec.id, request(&["linger", "/sign"]));
    let removing = async {
        wait_sign(&spec).await;
        bed.runtime.remove(&spec.id).await.unwrap();
    };
    let (hung, ()) = tokio::join!(hanging, removing);
    // Whether the helper sees the program die or its files go first is a race; both end the exec.
    assert!(
        !matches!(hung, Ok(ExecOutcome { exit: ExecExit::Code(0) | ExecExit::TimedOut, .. })),
        "{hung:?}"
    );
}
