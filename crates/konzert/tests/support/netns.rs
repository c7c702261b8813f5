//! A network namespace with nothing but its loopback interface: no address of the host, no default route.

use std::fs::File;

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::sched::{CloneFlags, setns, unshare};

/// The namespace lives as long as this value, or a process in it.
#[derive(Debug)]
pub(crate) struct NetNs {
    pin: File,
    /// As `/proc/<pid>/ns/net` shows it.
    name: String,
}

impl NetNs {
    /// Makes a namespace and turns its loopback interface on.
    pub(crate) fn new() -> Self {
        let make = || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            loopback_up();
            let name = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
            Self {
                pin: File::open("/proc/thread-self/ns/net").unwrap(),
                name: name.to_string_lossy().into_owned(),
            }
        };
        join(std::thread::spawn(make).join())
    }

    /// Runs `work` in a thread that is in the namespace; processes it starts are there, too.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            setns(&self.pin, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        };
        std::thread::scope(|scope| join(scope.spawn(inside).join()))
    }

    /// Processes in the namespace.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let inside = |pid: &i32| {
            std::fs::read_link(format!("/proc/{pid}/ns/net"))
                .is_ok_and(|ns| ns.to_string_lossy() == self.name)
        };
        super::process::all().into_iter().filter(inside).collect()
    }

    /// Names of the interfaces in the namespace.
    pub(crate) fn interfaces(&self) -> Vec<String> {
        let devices = self.run(|| std::fs::read_to_string("/proc/thread-self/net/dev").unwrap());
        devices
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, _)| name.trim().to_owned())
            .collect()
    }
}

/// A panic in the thread is a panic of the test.
fn join<T>(ended: std::thread::Result<T>) -> T {
    ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// One `RTM_NEWLINK` message: interface 1, flag `IFF_UP`.
fn loopback_up() {
    const NEW_LINK: u16 = 16;
    const REQUEST_AND_ACK: u16 = 5;
    const UP: u32 = 1;
    let mut message = Vec::with_capacity(32);
    message.extend(32_u32.to_ne_bytes());
    message.extend(NEW_LINK.to_ne_bytes());
    message.extend(REQUEST_AND_ACK.to_ne_bytes());
    // Sequence and port of the header, family and type of the body.
    message.extend([0; 12]);
    message.extend(1_i32.to_ne_bytes());
    message.extend(UP.to_ne_bytes());
    message.extend(UP.to_ne_bytes());
    let mut socket = Socket::new(NETLINK_ROUTE).unwrap();
    socket.bind_auto().unwrap();
    socket.connect(&SocketAddr::new(0, 0)).unwrap();
    socket.send(&message, 0).unwrap();
    let (answer, _) = socket.recv_from_full().unwrap();
    let errno = i32::from_ne_bytes(answer[16..20].try_into().unwrap());
    assert_eq!(errno, 0, "the kernel does not turn the loopback interface on");
}
