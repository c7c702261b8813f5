//! The program inside the containers: small verbs, each showing one thing from the inside.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use nix::libc;
use nix::sys::signal::{SigSet, Signal};

pub(crate) fn run(args: &[OsString]) -> ExitCode {
    let words: Vec<&str> = args.iter().filter_map(|arg| arg.to_str()).collect();
    match words.as_slice() {
        ["exit", code] => return ExitCode::from(code.parse::<u8>().unwrap()),
        ["say", text @ ..] => {
            println!("{}", text.join(" "));
            eprintln!("warning");
            print!("unfinished");
            io::stdout().flush().unwrap();
        }
        ["count", lines] => (0..lines.parse().unwrap()).for_each(|number: u32| println!("line {number}")),
        ["sleep"] => loop {
            sleep(Duration::from_hours(1));
        },
        ["linger", sign] => {
            std::fs::File::create(sign).unwrap();
            loop {
                sleep(Duration::from_hours(1));
            }
        }
        ["obey", signal, code] => return obey(signal, code),
        ["eat", megabytes] => eat(megabytes.parse().unwrap()),
        ["facts"] => facts(),
        ["forbidden"] => forbidden(),
        ["write", path] => report(path, std::fs::File::create(path).map(drop)),
        ["cat", path] => print!("{}", std::fs::read_to_string(path).unwrap()),
        ["crash"] => nix::sys::signal::raise(Signal::SIGKILL).unwrap(),
        ["orphan"] => orphan(),
        ["stdin"] => {
            let mut text = Vec::new();
            println!("{:?}", io::stdin().read_to_end(&mut text));
        }
        other => {
            eprintln!("unknown verb {other:?}");
            return ExitCode::from(99);
        }
    }
    ExitCode::SUCCESS
}

/// Says that it is ready, waits for the signal, exits with the code.
fn obey(signal: &str, code: &str) -> ExitCode {
    let mut set = SigSet::empty();
    set.add(signal.parse().unwrap());
    set.thread_block().unwrap();
    println!("ready");
    let got = set.wait().unwrap();
    println!("got {got}");
    ExitCode::from(code.parse::<u8>().unwrap())
}

fn eat(megabytes: usize) {
    let mut eaten = Vec::new();
    for _ in 0..megabytes {
        eaten.push(vec![1u8; 1 << 20]);
    }
    println!("ate {}", eaten.len());
}

#[allow(clippy::zombie_processes, reason = "not waiting is the point")]
/// Leaves a child behind that is still running when its parent, the first process, ends.
fn orphan() {
    let child = std::process::Command::new("/proc/self/exe").args(["payload", "sleep"]).spawn().unwrap();
    println!("child {}", child.id());
}

/// What a process can see of itself and its surroundings.
fn facts() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    for key in [
        "Uid",
        "Gid",
        "Groups",
        "NoNewPrivs",
        "Seccomp",
        "CapInh",
        "CapPrm",
        "CapEff",
        "CapBnd",
        "CapAmb",
        "SigBlk",
        "SigIgn",
    ] {
        let value = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).unwrap_or("?");
        println!("{key}={}", value.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    println!("pid={}", std::process::id());
    println!("hostname={}", nix::unistd::gethostname().unwrap().display());
    println!("cwd={}", std::env::current_dir().unwrap().display());
    let mut env: Vec<String> = std::env::vars().map(|(name, value)| format!("env:{name}={value}")).collect();
    env.sort();
    println!("{}", env.join("\n"));
    let mut open: Vec<String> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    // One of them is the directory being read.
    open.pop();
    println!("fds={}", open.len());
    println!("oom={}", std::fs::read_to_string("/proc/self/oom_score_adj").unwrap().trim());
}

#[allow(unsafe_code, reason = "these system calls have no wrapper, being of no use to ordinary programs")]
/// Tries what a filter or missing capabilities must not let through.
fn forbidden() {
    let number = |value: i64| {
        if value >= 0 {
            "ok".to_owned()
        } else {
            io::Error::last_os_error().raw_os_error().unwrap().to_string()
        }
    };
    // SAFETY: every call below gets only numbers and null pointers; at worst it fails.
    unsafe {
        println!("unshare={}", number(libc::syscall(libc::SYS_unshare, libc::CLONE_NEWUSER)));
        println!("bpf={}", number(libc::syscall(libc::SYS_bpf, 0, 0, 0)));
        println!("keyctl={}", number(libc::syscall(libc::SYS_keyctl, 0, 0, 0, 0, 0)));
        println!("clone3={}", number(libc::syscall(libc::SYS_clone3, 0, 0)));
        println!(
            "mount={}",
            number(libc::syscall(libc::SYS_mount, c"none".as_ptr(), c"/".as_ptr(), c"tmpfs".as_ptr(), 0, 0))
        );
        let disk = libc::makedev(8, 0);
        libc::syscall(libc::SYS_mknodat, libc::AT_FDCWD, c"/disk".as_ptr(), libc::S_IFBLK | 0o600, disk);
    }
    let limits = [
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory.max",
        "/proc/sys/kernel/hostname",
    ];
    for path in limits {
        report(path, std::fs::OpenOptions::new().write(true).open(path).map(drop));
    }
    // Where making the node is allowed, using it must not be.
    report("disk", std::fs::File::open("/disk").map(drop));
    println!("interrupts={}", std::fs::read("/proc/interrupts").unwrap().len());
}

fn report(what: &str, result: io::Result<()>) {
    match result {
        Ok(()) => println!("{what}=ok"),
        Err(error) => println!("{what}={}", error.raw_os_error().unwrap_or(0)),
    }
}
