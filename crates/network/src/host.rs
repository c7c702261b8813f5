//! What the network changes on the host itself, once for all pods, and how it is put back.
//!
//! - `lo` is on and has the gateway address 169.254.1.1/32, the source of everything the host says to pods
//!   and services.
//! - The service range is routed to `lo`, so that a connection to a virtual address gets as far as its
//!   translation on a host without a default route, too.
//! - The rest of the pod range is unreachable, so that packets for a pod that is gone do not leave by the
//!   default route.
//! - IPv4 forwarding is on.
//!
//! What was there before is noted in the run directory at the first start, and not again at a restart. Two
//! engines in one network namespace share these things when their ranges are the same; the first one made
//! them and takes them away.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use netlink_packet_route::address::AddressScope;
use nix::errno::Errno;

use crate::error::at;
use crate::netlink::Netlink;
use crate::route::{self, Existing, LOOPBACK, Route, Way};
use crate::{Ipv4Cidr, NetworkError};

/// The gateway of every pod, and the source of what the host says to pods.
pub(crate) const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";
const NOTES: &str = "host";

/// The ranges of the node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ranges {
    pub(crate) pods: Ipv4Cidr,
    pub(crate) services: Ipv4Cidr,
}

impl Ranges {
    fn routes(self) -> [(&'static str, Route); 2] {
        let way = Way::Link { index: LOOPBACK, source: Some(GATEWAY) };
        [
            ("services", Route { destination: self.services, way }),
            ("pods", Route { destination: self.pods, way: Way::Unreachable }),
        ]
    }
}

/// Prepares the host, and notes what was new.
pub(crate) fn prepare(netlink: &mut Netlink, run_dir: &Path, ranges: Ranges) -> Result<(), NetworkError> {
    let mut notes = Notes::read(run_dir)?;
    route::set_up(netlink, LOOPBACK)?;
    let gateway = route::add_address(netlink, GATEWAY, LOOPBACK, AddressScope::Link);
    notes.made("gateway", gateway)?;
    for (name, route) in ranges.routes() {
        notes.made(name, route::add_route(netlink, route, Existing::Refuse))?;
    }
    let forwarding = fs::read_to_string(FORWARDING).map_err(at(FORWARDING))?;
    if forwarding.trim() != "1" {
        notes.add("forwarding-was-off")?;
        write_setting(Path::new(FORWARDING), "1").map_err(at(FORWARDING))?;
    }
    Ok(())
}

/// Puts back what [`prepare`] changed.
pub(crate) fn restore(netlink: &mut Netlink, run_dir: &Path, ranges: Ranges) -> Result<(), NetworkError> {
    let notes = Notes::read(run_dir)?;
    for (name, route) in ranges.routes() {
        if notes.has(name) {
            route::delete_route(netlink, route)?;
        }
    }
    if notes.has("gateway") {
        route::delete_address(netlink, GATEWAY, LOOPBACK)?;
    }
    if notes.has("forwarding-was-off") {
        write_setting(Path::new(FORWARDING), "0").map_err(at(FORWARDING))?;
    }
    match fs::remove_file(&notes.path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(&notes.path)(error)),
        _ => Ok(()),
    }
}

/// Writes a kernel setting. Not a file: it is set by the one write.
pub(crate) fn write_setting(path: &Path, value: &str) -> io::Result<()> {
    use std::io::Write;
    fs::OpenOptions::new().write(true).open(path)?.write_all(value.as_bytes())
}

/// Writes a file of the run directory so that a reader sees all of it or nothing. The directory does not
/// outlive the machine, so nothing is synced.
pub(crate) fn write_file(path: &Path, text: &str) -> Result<(), NetworkError> {
    use std::io::Write;
    let new = path.with_extension("new");
    let write = || {
        fs::File::create(&new)?.write_all(text.as_bytes())?;
        fs::rename(&new, path)
    };
    write().map_err(at(path))
}

/// What the first start found different: one word a line.
struct Notes {
    path: PathBuf,
    words: Vec<String>,
}

impl Notes {
    fn read(run_dir: &Path) -> Result<Self, NetworkError> {
        let path = run_dir.join(NOTES);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            result => result.map_err(at(&path))?,
        };
        Ok(Self { path, words: text.lines().map(str::to_owned).collect() })
    }

    fn has(&self, word: &str) -> bool {
        self.words.iter().any(|found| found == word)
    }

    fn add(&mut self, word: &str) -> Result<(), NetworkError> {
        if !self.has(word) {
            self.words.push(word.to_owned());
            write_file(&self.path, &(self.words.join("\n") + "\n"))?;
        }
        Ok(())
    }

    /// Notes that something was made, unless it was there.
    fn made(&mut self, word: &str, result: Result<(), NetworkError>) -> Result<(), NetworkError> {
        match result {
            Ok(()) => self.add(word),
            Err(error) if error.is(Errno::EEXIST) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
