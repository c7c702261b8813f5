//! The namespace of one pod: made, wired, pinned, found again, taken away.
//!
//! The pin is a bind mount, so the namespace lives without any process. The file with the address is written
//! last and removed first: a pod with such a file is complete, and everything else that bears our names is a
//! leftover of a crash.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use netlink_packet_route::address::AddressScope;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::statfs::statfs;

use crate::error::at;
use crate::host::{GATEWAY, write_file, write_setting};
use crate::netlink::Netlink;
use crate::route::{self, End, Existing, LOOPBACK, Mac, Route, Way};
use crate::{Ipv4Cidr, NetworkError};

/// "nsfs", the file system of namespaces.
const NSFS_MAGIC: i64 = 0x6e73_6673;
const HOST_MAC: Mac = [0x02, 0x6b, 0, 0, 0, 1];
const POD_LINK: &str = "eth0";
const PINS: &str = "netns";
const ADDRESSES: &str = "addresses";

/// The places of the run directory.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    pins: PathBuf,
    addresses: PathBuf,
}

impl Places {
    /// Makes the directories.
    pub(crate) fn open(run_dir: &Path) -> Result<Self, NetworkError> {
        let places = Self { pins: run_dir.join(PINS), addresses: run_dir.join(ADDRESSES) };
        for dir in [&places.pins, &places.addresses] {
            fs::create_dir_all(dir).map_err(at(dir))?;
        }
        Ok(places)
    }

    pub(crate) fn pin(&self, uid: &str) -> PathBuf {
        self.pins.join(uid)
    }

    fn address(&self, uid: &str) -> PathBuf {
        self.addresses.join(uid)
    }

    /// The pods that were complete, with their addresses.
    pub(crate) fn complete(&self) -> Result<Vec<(String, Ipv4Addr)>, NetworkError> {
        let mut pods = Vec::new();
        for uid in names(&self.addresses)? {
            let path = self.address(&uid);
            let text = fs::read_to_string(&path).map_err(at(&path))?;
            if let Ok(address) = text.trim().parse()
                && is_pinned(&self.pin(&uid))
            {
                pods.push((uid, address));
            }
        }
        Ok(pods)
    }

    /// Every name that was ever used and not cleaned up.
    pub(crate) fn known(&self) -> Result<Vec<String>, NetworkError> {
        let mut all = names(&self.pins)?;
        all.extend(names(&self.addresses)?);
        all.sort_unstable();
        all.dedup();
        Ok(all)
    }

    /// Removes the (empty) directories.
    pub(crate) fn close(&self) -> Result<(), NetworkError> {
        for dir in [&self.pins, &self.addresses] {
            fs::remove_dir(dir).map_err(at(dir))?;
        }
        Ok(())
    }

    /// Removes what is left of a pod in the run directory: address first, then the pin.
    pub(crate) fn remove(&self, uid: &str) -> Result<(), NetworkError> {
        remove_file(&self.address(uid))?;
        let pin = self.pin(uid);
        match umount2(&pin, MntFlags::MNT_DETACH) {
            // Not mounted, or not there.
            Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
            Err(errno) => return Err(at(&pin)(errno.into())),
        }
        remove_file(&pin)
    }
}

fn remove_file(path: &Path) -> Result<(), NetworkError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path)(error)),
        _ => Ok(()),
    }
}

fn names(dir: &Path) -> Result<Vec<String>, NetworkError> {
    let entries = fs::read_dir(dir).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(at(dir))?;
    Ok(entries.into_iter().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

fn is_pinned(pin: &Path) -> bool {
    statfs(pin).is_ok_and(|stat| stat.filesystem_type().0 == NSFS_MAGIC)
}

/// One pod that is to be wired.
pub(crate) struct Wiring<'a> {
    pub(crate) uid: &'a str,
    pub(crate) address: Ipv4Addr,
    /// The name of the link on the host.
    pub(crate) link: &'a str,
    /// The group of all links of this engine.
    pub(crate) group: u32,
}

impl Wiring<'_> {
    /// Makes namespace, links, addresses and routes, and the address file last.
    pub(crate) fn make(&self, host: &mut Netlink, places: &Places) -> Result<(), NetworkError> {
        let pin = places.pin(self.uid);
        let mut inside = make_namespace(&pin)?;
        let namespace = fs::File::open(&pin).map_err(at(&pin))?;
        let pod_mac = pod_mac(self.address);
        let ends = (End { name: self.link, mac: HOST_MAC }, End { name: POD_LINK, mac: pod_mac });
        // The last pod with this address may not be deleted yet.
        match route::add_veth(host, ends.0, self.group, ends.1, namespace.as_fd()) {
            Err(error) if error.is(Errno::EEXIST) => {
                let last = route::link_index(host, self.link)?;
                route::delete_link(host, last)?;
                route::add_veth(host, ends.0, self.group, ends.1, namespace.as_fd())?;
            }
            result => result?,
        }
        let inner = self.wire_inside(&mut inside)?;
        let index = route::link_index(host, self.link)?;
        configure_host_link(self.link);
        route::set_up(host, index)?;
        route::wait_until_running(&mut inside, inner)?;
        route::add_neighbour(host, self.address, pod_mac, index)?;
        let way = Way::Link { index, source: Some(GATEWAY) };
        route::add_route(host, Route { destination: single(self.address), way }, Existing::Refuse)?;
        write_file(&places.address(self.uid), &format!("{}\n", self.address))
    }

    /// Returns the index of the link inside.
    fn wire_inside(&self, inside: &mut Netlink) -> Result<u32, NetworkError> {
        let anywhere = Ipv4Cidr::new(Ipv4Addr::UNSPECIFIED, 0).expect("0 is a valid prefix");
        route::set_up(inside, LOOPBACK)?;
        let index = route::link_index(inside, POD_LINK)?;
        route::add_address(inside, self.address, index, AddressScope::Universe)?;
        route::set_up(inside, index)?;
        route::add_neighbour(inside, GATEWAY, HOST_MAC, index)?;
        let to_gateway = Route { destination: single(GATEWAY), way: Way::Link { index, source: None } };
        route::add_route(inside, to_gateway, Existing::Refuse)?;
        let default = Route { destination: anywhere, way: Way::Gateway { address: GATEWAY, index } };
        route::add_route(inside, default, Existing::Refuse)?;
        Ok(index)
    }
}

/// Takes the route to a pod away.
pub(crate) fn unroute(host: &mut Netlink, address: Ipv4Addr) -> Result<(), NetworkError> {
    let way = Way::Link { index: 0, source: None };
    route::delete_route(host, Route { destination: single(address), way })
}

fn single(address: Ipv4Addr) -> Ipv4Cidr {
    Ipv4Cidr::new(address, 32).expect("32 is a valid prefix")
}

/// Locally administered, and different for each pod.
fn pod_mac(address: Ipv4Addr) -> Mac {
    let [a, b, c, d] = address.octets();
    [0x02, 0x6b, a, b, c, d]
}

/// Settings of a link on the host. Strict reverse path filtering keeps a pod from using the address of
/// another one. Both are extra safety, so a host that does not allow them is fine.
fn configure_host_link(link: &str) {
    for (path, value) in [
        (format!("/proc/sys/net/ipv4/conf/{link}/rp_filter"), "1"),
        (format!("/proc/sys/net/ipv6/conf/{link}/disable_ipv6"), "1"),
    ] {
        if let Err(error) = write_setting(Path::new(&path), value) {
            tracing::debug!(path, error = &error as &dyn std::error::Error, "a link setting stays as it is");
        }
    }
}

/// Makes a network namespace, pins it at `pin`, and returns a socket in it.
///
/// A thread of its own goes into the namespace and ends there, so no other thread is ever in a foreign one.
pub(crate) fn make_namespace(pin: &Path) -> Result<Netlink, NetworkError> {
    let failed = |source| NetworkError::Namespace { path: pin.to_path_buf(), source };
    fs::File::create(pin).map_err(failed)?;
    let enter = || {
        unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| failed(errno.into()))?;
        let own = "/proc/thread-self/ns/net";
        mount(Some(own), pin, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .map_err(|errno| failed(errno.into()))?;
        // Containers without privileges may use ports below 1024: the namespace is theirs alone.
        let ports = Path::new("/proc/sys/net/ipv4/ip_unprivileged_port_start");
        if let Err(error) = write_setting(ports, "0") {
            tracing::debug!(error = &error as &dyn std::error::Error, "low ports stay privileged in pods");
        }
        route::open()
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("konzert-netns".into()).spawn_scoped(scope, enter);
        let thread = thread.map_err(NetworkError::Thread)?;
        thread.join().unwrap_or_else(|_| Err(NetworkError::Closed))
    })
}
