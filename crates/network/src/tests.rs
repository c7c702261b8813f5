//! The network against the real kernel, in fresh network and mount namespaces: nothing of the host is
//! touched.
//!
//! A test runs in a thread that went into new namespaces; that thread plays the host. Servers and clients
//! inside pods are threads that entered the pod's namespace by its pin, as a container would. Needs root, and
//! says so when it is missing.
#![allow(clippy::print_stderr, reason = "a test that skips says so")]

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};

use crate::route::{self, Existing, Route, Way};
use crate::{Network, NetworkConfig, NetworkError, PodNetwork, Protocol, ServiceRules};

/// Long enough to never matter: a refused connection fails at once, a lost packet after this.
const PATIENCE: Duration = Duration::from_secs(5);

fn in_new_namespaces(test: impl AsyncFnOnce(&Path) + Send + 'static) {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: needs root to make network namespaces");
        return;
    }
    let body = move || {
        let dir = tempfile::tempdir().unwrap();
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).unwrap();
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test(dir.path()));
    };
    if let Err(panic) = std::thread::spawn(body).join() {
        std::panic::resume_unwind(panic);
    }
}

fn config(dir: &Path) -> NetworkConfig {
    NetworkConfig {
        run_dir: dir.to_path_buf(),
        instance: "0123456789ab".into(),
        pod_cidr: "10.244.0.0/16".parse().unwrap(),
        service_cidr: "10.96.0.0/16".parse().unwrap(),
    }
}

/// Runs `work` inside the namespace of a pod.
fn inside<T: Send + 'static>(pod: &PodNetwork, work: impl FnOnce() -> T + Send + 'static) -> T {
    let pin = pod.netns.clone();
    std::thread::spawn(move || {
        enter(&pin);
        work()
    })
    .join()
    .unwrap()
}

fn enter(pin: &PathBuf) {
    setns(std::fs::File::open(pin).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
}

/// A TCP server in the pod: tells its name and who it sees, for every connection.
fn serve(pod: &PodNetwork, name: &'static str) {
    let listener = inside(pod, || TcpListener::bind("0.0.0.0:80").unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let peer = stream.peer_addr().unwrap().ip();
            stream.write_all(format!("{name} {peer}").as_bytes()).unwrap();
        }
    });
}

/// A UDP server in the pod: answers every datagram with its name.
fn serve_udp(pod: &PodNetwork, name: &'static str) {
    let socket = inside(pod, || UdpSocket::bind("0.0.0.0:53").unwrap());
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((_, peer)) = socket.recv_from(&mut buffer) {
            socket.send_to(name.as_bytes(), peer).unwrap();
        }
    });
}

fn ask(address: impl Into<SocketAddr>) -> Result<(String, String), ErrorKind> {
    let talk = || {
        let mut stream = TcpStream::connect_timeout(&address.into(), PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer: String = talk().map_err(|error: std::io::Error| error.kind())?;
    let (name, peer) = answer.split_once(' ').unwrap();
    Ok((name.to_owned(), peer.to_owned()))
}

fn ask_from(pod: &PodNetwork, address: SocketAddrV4) -> Result<(String, String), ErrorKind> {
    inside(pod, move || ask(address))
}

fn at(ip: Ipv4Addr, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(ip, port)
}

fn service(last: u8, port: u16, pods: &[&PodNetwork]) -> ServiceRules {
    ServiceRules {
        cluster_ip: Ipv4Addr::new(10, 96, 0, last),
        port,
        protocol: Protocol::Tcp,
        endpoints: pods.iter().map(|pod| at(pod.ip, 80)).collect(),
        node_port: None,
    }
}

fn vip(last: u8) -> SocketAddrV4 {
    at(Ipv4Addr::new(10, 96, 0, last), 8080)
}

/// How often each server answers.
fn spread(
    times: usize,
    mut ask: impl FnMut() -> Result<(String, String), ErrorKind>,
) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..times {
        *counts.entry(ask().unwrap().0).or_insert(0) += 1;
    }
    counts
}

async fn three_pods(network: &Network) -> [PodNetwork; 3] {
    let names = ["a", "b", "c"];
    let mut pods = Vec::new();
    for name in names {
        let pod = network.add_pod(name).await.unwrap();
        serve(&pod, name);
        pods.push(pod);
    }
    pods.try_into().unwrap()
}

#[test]
fn pods_reach_each_other_and_the_host_reaches_them() {
    in_new_namespaces(async |dir| {
        let network = Network::open(config(dir)).await.unwrap();
        let [a, b, c] = three_pods(&network).await;
        assert_eq!(network.add_pod("a").await.unwrap(), a, "asking again gives the same");
        assert_eq!(network.pods().len(), 3);
        assert!(a.ip != b.ip && b.ip != c.ip && a.ip != c.ip);

        // There is no default route and no address here but what we made.
        assert_eq!(ask(at(a.ip, 80)), Ok(("a".into(), "169.254.1.1".into())), "host to pod");
        assert_eq!(
            ask_from(&a, at(b.ip, 80)),
            Ok(("b".into(), a.ip.to_string())),
            "pod to pod keeps the source"
        );
        assert_eq!(ask_from(&a, at(a.ip, 80)), Ok(("a".into(), a.ip.to_string())), "pod to itself");
        assert_eq!(ask_from(&a, at(b.ip, 81)), Err(ErrorKind::ConnectionRefused), "a closed port");
        assert_eq!(ask_from(&a, "127.0.0.1:80".parse().unwrap()).unwrap().0, "a", "loopback is on inside");

        network.remove_pod("b").await.unwrap();
        network.remove_pod("b").await.unwrap();
        assert_eq!(
            ask(at(b.ip, 80)),
            Err(ErrorKind::HostUnreachable),
            "a pod that is gone is unreachable at once"
        );
        assert_eq!(ask_from(&a, at(b.ip, 80)), Err(ErrorKind::HostUnreachable));
        assert!(!b.netns.exists());
        assert_ne!(network.add_pod("d").await.unwrap().ip, b.ip, "an address rests before it is used again");
        network.teardown().await.unwrap();
    });
}

#[test]
fn services_spread_over_their_endpoints() {
    in_new_namespaces(async |dir| {
        let network = Network::open(config(dir)).await.unwrap();
        let [a, b, c] = three_pods(&network).await;
        let mut rules = vec![service(1, 8080, &[&a, &b, &c]), service(2, 8080, &[&a]), service(3, 8080, &[])];
        network.apply_services(&rules).await.unwrap();

        let counts = spread(90, || ask(vip(1)));
        assert_eq!(counts.len(), 3, "the host reaches all endpoints: {counts:?}");
        assert!(counts.values().all(|count| *count >= 8), "in about equal shares: {counts:?}");
        let counts = spread(60, || ask_from(&b, vip(1)));
        assert_eq!(counts.len(), 3, "a pod reaches all endpoints, itself too: {counts:?}");
        assert_eq!(
            ask_from(&b, vip(2)),
            Ok(("a".into(), b.ip.to_string())),
            "a pod is seen with its own address"
        );
        assert_eq!(
            ask_from(&a, vip(2)),
            Ok(("a".into(), "169.254.1.1".into())),
            "hairpin comes from the gateway"
        );
        assert_eq!(ask(vip(2)), Ok(("a".into(), "169.254.1.1".into())));

        for address in [vip(3), vip(9), at(*vip(1).ip(), 9999)] {
            assert_eq!(
                ask(address),
                Err(ErrorKind::ConnectionRefused),
                "host to {address}, which nobody serves"
            );
            assert_eq!(ask_from(&a, address), Err(ErrorKind::ConnectionRefused), "pod to {address}");
        }

        rules[0] = service(1, 8080, &[&b]);
        rules[2] = service(3, 8080, &[&c]);
        network.apply_services(&rules).await.unwrap();
        assert_eq!(spread(20, || ask(vip(1))).into_keys().collect::<Vec<_>>(), ["b"], "the others are gone");
        assert_eq!(
            spread(3, || ask(vip(3))).into_keys().collect::<Vec<_>>(),
            ["c"],
            "there is an endpoint now"
        );
        network.apply_services(&rules).await.unwrap();
        network.apply_services(&[]).await.unwrap();
        assert_eq!(ask(vip(1)), Err(ErrorKind::ConnectionRefused));
        network.teardown().await.unwrap();
    });
}

/// One client goes on all the time while endpoints come and go: not one request fails.
#[test]
fn changes_are_atomic() {
    in_new_namespaces(async |dir| {
        let network = Network::open(config(dir)).await.unwrap();
        let [a, b, c] = three_pods(&network).await;
        network.apply_services(&[service(1, 8080, &[&a])]).await.unwrap();
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopped, count) = (stop.clone(), asked.clone());
        let client = std::thread::spawn(move || {
            let mut failures = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                failures.extend(ask(vip(1)).err());
                count.fetch_add(1, Ordering::Relaxed);
            }
            failures
        });
        let states = [vec![&a, &b], vec![&b], vec![&c, &b, &a], vec![&c], vec![&a]];
        let mut rounds = states.iter().cycle();
        while asked.load(Ordering::Relaxed) < 400 {
            network.apply_services(&[service(1, 8080, rounds.next().unwrap())]).await.unwrap();
        }
        // What an earlier process left is taken over without a gap, too.
        let mut network = network;
        for endpoints in &states {
            drop(network);
            network = Network::open(config(dir)).await.unwrap();
            network.apply_services(&[service(1, 8080, endpoints)]).await.unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        assert_eq!(client.join().unwrap(), [], "of {} requests", asked.load(Ordering::Relaxed));
        network.teardown().await.unwrap();
    });
}

#[test]
fn a_restart_finds_everything_again() {
    in_new_namespaces(async |dir| {
        let network = Network::open(config(dir)).await.unwrap();
        let [a, b, c] = three_pods(&network).await;
        network.apply_services(&[service(1, 8080, &[&a, &b])]).await.unwrap();
        let pods = network.pods();
        drop(network);
        // A pod that is only half there, as a crash leaves it.
        std::fs::File::create(dir.join("netns/half")).unwrap();
        std::fs::remove_file(dir.join("addresses/c")).unwrap();

        let network = Network::open(config(dir)).await.unwrap();
        assert_eq!(network.pods(), pods[..2], "complete pods are kept, the others are cleaned up");
        assert!(!dir.join("netns/half").exists() && !c.netns.exists());
        assert_eq!(ask(at(c.ip, 80)), Err(ErrorKind::HostUnreachable));
        assert_eq!(spread(40, || ask(vip(1))).len(), 2, "the services go on before they are applied again");
        assert_eq!(ask_from(&a, at(b.ip, 80)).unwrap().0, "b");
        assert_eq!(network.add_pod("b").await.unwrap(), b);
        let new = network.add_pod("new").await.unwrap();
        serve(&new, "new");
        assert!(new.ip != a.ip && new.ip != b.ip);
        network.apply_services(&[service(1, 8080, &[&new, &a])]).await.unwrap();
        assert_eq!(spread(40, || ask_from(&a, vip(1))).into_keys().collect::<Vec<_>>(), ["a", "new"]);
        assert_eq!(ask_from(&new, vip(1)).map(drop), Ok(()), "hairpin works for old and new pods");
        network.teardown().await.unwrap();
    });
}

/// Everything in this namespace that could be left behind.
fn traces() -> Vec<String> {
    let mut netlink = route::open().unwrap();
    let mut traces = route::link_names(&mut netlink).unwrap();
    let all = "0.0.0.0/0".parse().unwrap();
    traces.extend(route::routed_addresses(&mut netlink, all).unwrap().iter().map(ToString::to_string));
    traces.push(std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap().trim().to_owned());
    // All addresses and routes of this namespace.
    traces.push(std::fs::read_to_string("/proc/thread-self/net/fib_trie").unwrap());
    let mut nft = crate::nft::open().unwrap();
    let note = crate::inspect::table_note(&mut nft, "konzert-0123456789ab").unwrap();
    traces.push(format!("table: {}", note.is_some()));
    traces
}

#[test]
fn teardown_leaves_nothing() {
    in_new_namespaces(async |dir| {
        route::set_up(&mut route::open().unwrap(), route::LOOPBACK).unwrap();
        let before = traces();
        let network = Network::open(config(dir)).await.unwrap();
        let [a, b, _] = three_pods(&network).await;
        network.apply_services(&[service(1, 8080, &[&a, &b])]).await.unwrap();
        assert_ne!(traces(), before);
        // A second life forgets nothing of what the first one changed.
        drop(network);
        let network = Network::open(config(dir)).await.unwrap();
        network.teardown().await.unwrap();
        assert_eq!(traces(), before);
        assert_eq!(std::fs::read_dir(dir).unwrap().count(), 0, "the run directory is empty");
        assert!(matches!(network.add_pod("x").await, Err(NetworkError::Closed)));
        assert!(network.pods().is_empty());
    });
}

#[test]
fn udp_flows_leave_an_endpoint_that_is_gone() {
    in_new_namespaces(async |dir| {
        let network = Network::open(config(dir)).await.unwrap();
        let a = network.add_pod("a").await.unwrap();
        let b = network.add_pod("b").await.unwrap();
        let client = network.add_pod("client").await.unwrap();
        serve_udp(&a, "a");
        serve_udp(&b, "b");
        let dns = |pod: &PodNetwork| ServiceRules {
            cluster_ip: Ipv4Addr::new(10, 96, 0, 10),
            port: 53,
            protocol: Protocol::Udp,
            endpoints: vec![at(pod.ip, 53)],
            node_port: None,
        };
        network.apply_services(&[dns(&a)]).await.unwrap();
        let socket = inside(&client, || UdpSocket::bind("0.0.0.0:0").unwrap());
        socket.connect("10.96.0.10:53").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let ask = || {
            socket.send(b"?").unwrap();
            let mut buffer = [0; 64];
            let length = socket.recv(&mut buffer).unwrap();
            String::from_utf8_lossy(&buffer[..length]).into_owned()
        };
        assert_eq!(ask(), "a");
        network.apply_services(&[dns(&b)]).await.unwrap();
        assert_eq!(ask(), "b", "the same socket is led to the new endpoint");
        network.teardown().await.unwrap();
    });
}

/// Another machine: a namespace behind a veth, with no route back to pods or services.
fn outside() -> PodNetwork {
    let pin = std::env::temp_dir().join(format!("konzert-test-outside-{}", nix::unistd::gettid()));
    std::fs::File::create(&pin).unwrap();
    let mut there = crate::pod::make_namespace(&pin).unwrap();
    let mut here = route::open().unwrap();
    let namespace = std::fs::File::open(&pin).unwrap();
    let end = |name, last| route::End { name, mac: [2, 0, 0, 0, 1, last] };
    route::add_veth(&mut here, end("uplink", 1), 0, end("eth0", 2), std::os::fd::AsFd::as_fd(&namespace))
        .unwrap();
    for (netlink, name, own, other) in [(&mut here, "uplink", 1, 2), (&mut there, "eth0", 2, 1)] {
        let index = route::link_index(netlink, name).unwrap();
        let [own, other] = [own, other].map(|last| Ipv4Addr::new(192, 0, 2, last));
        route::add_address(netlink, own, index, netlink_packet_route::address::AddressScope::Universe)
            .unwrap();
        route::set_up(netlink, index).unwrap();
        let destination = crate::Ipv4Cidr::new(other, 32).unwrap();
        let route = Route { destination, way: Way::Link { index, source: Some(own) } };
        route::add_route(netlink, route, Existing::Refuse).unwrap();
    }
    PodNetwork { netns: pin, ip: Ipv4Addr::new(192, 0, 2, 2) }
}

#[test]
fn the_outside_is_reached_by_masquerade_and_reaches_node_ports() {
    in_new_namespaces(async |dir| {
        let network = Network::open(config(dir)).await.unwrap();
        let [a, b, _] = three_pods(&network).await;
        let outside = outside();
        serve(&outside, "outside");
        assert_eq!(ask_from(&a, at(outside.ip, 80)), Ok(("outside".into(), "192.0.2.1".into())));

        let mut rules = service(1, 8080, &[&b]);
        rules.node_port = Some(30_080);
        network.apply_services(&[rules.clone()]).await.unwrap();
        let node = at(Ipv4Addr::new(192, 0, 2, 1), 30_080);
        assert_eq!(ask_from(&outside, node), Ok(("b".into(), outside.ip.to_string())), "the source is kept");
        assert_eq!(ask(node).unwrap().0, "b", "from the host itself");
        assert_eq!(ask_from(&a, node).unwrap().0, "b", "from a pod");
        assert_eq!(ask_from(&b, node), Ok(("b".into(), "169.254.1.1".into())), "from the pod that serves it");
        rules.node_port = None;
        network.apply_services(&[rules]).await.unwrap();
        assert_eq!(ask_from(&outside, node), Err(ErrorKind::ConnectionRefused));
        network.teardown().await.unwrap();
        nix::mount::umount(&outside.netns).unwrap();
        std::fs::remove_file(&outside.netns).unwrap();
    });
}

#[test]
fn many_services_fit_into_one_transaction() {
    in_new_namespaces(async |dir| {
        let network = Network::open(config(dir)).await.unwrap();
        let pod = network.add_pod("a").await.unwrap();
        serve(&pod, "a");
        let rules = |endpoints: u16| -> Vec<ServiceRules> {
            (0..3000u16)
                .map(|n| {
                    let [high, low] = n.to_be_bytes();
                    let cluster_ip = Ipv4Addr::new(10, 96, high, low);
                    let endpoints = (0..endpoints).map(|n| at(pod.ip, 80 + n)).collect();
                    ServiceRules {
                        cluster_ip,
                        port: 8080,
                        protocol: Protocol::Tcp,
                        endpoints,
                        node_port: None,
                    }
                })
                .collect()
        };
        network.apply_services(&rules(3)).await.unwrap();
        network.apply_services(&rules(1)).await.unwrap();
        assert_eq!(ask(at(Ipv4Addr::new(10, 96, 11, 183), 8080)).unwrap().0, "a", "service 2999");
        let mut crowded = service(1, 8080, &[]);
        crowded.endpoints = (0..1500).map(|n| at(pod.ip, 10_000 + n)).chain([at(pod.ip, 80)]).collect();
        network.apply_services(&[crowded]).await.unwrap();
        network.teardown().await.unwrap();
    });
}

#[test]
fn a_firewall_that_drops_is_noticed() {
    use crate::inspect::chains_that_drop_forwarded;
    use crate::nft::{Hook, Policy, Transaction};
    in_new_namespaces(async |dir| {
        let mut netlink = crate::nft::open().unwrap();
        let mut transaction = Transaction::new("filter");
        transaction.add_table(&[]);
        for (name, number, policy) in
            [("FORWARD", 2, Policy::Drop), ("INPUT", 1, Policy::Accept), ("f", 2, Policy::Accept)]
        {
            transaction.add_base_chain(name, Hook { kind: "filter", number, priority: 0, policy });
        }
        transaction.commit(&mut netlink, "make a firewall").unwrap();
        let network = Network::open(config(dir)).await.unwrap();
        assert_eq!(chains_that_drop_forwarded(&mut netlink).unwrap(), ["filter/FORWARD"]);
        let [a, b, _] = three_pods(&network).await;
        assert_eq!(ask(at(b.ip, 80)).unwrap().0, "b", "what is not forwarded is not concerned");
        drop(a);
        network.teardown().await.unwrap();
    });
}

#[test]
fn what_is_not_used_any_more_is_swept() {
    in_new_namespaces(async |dir| {
        let network = Network::open(config(dir)).await.unwrap();
        let [a, b, c] = three_pods(&network).await;
        let parts = || {
            let names =
                crate::inspect::names(&mut crate::nft::open().unwrap(), "konzert-0123456789ab").unwrap();
            names.into_iter().filter(|name| name.starts_with("svc-") || name.starts_with("ep-")).count()
        };
        network.apply_services(&[service(1, 8080, &[&a]), service(2, 8080, &[&b])]).await.unwrap();
        assert_eq!(parts(), 4);
        network.apply_services(&[service(1, 8080, &[&b])]).await.unwrap();
        assert_eq!(parts(), 5, "what was replaced rests");
        // What an earlier process left half done is found and swept as well.
        drop(network);
        let mut transaction = crate::nft::Transaction::new("konzert-0123456789ab");
        transaction.add_chain("svc-77");
        transaction.commit(&mut crate::nft::open().unwrap(), "leave something").unwrap();
        let network = Network::open(config(dir)).await.unwrap();
        network.apply_services(&[service(1, 8080, &[&c])]).await.unwrap();
        tokio::time::sleep(crate::table::REST).await;
        network.apply_services(&[service(1, 8080, &[&c])]).await.unwrap();
        assert_eq!(parts(), 2);
        assert_eq!(ask(vip(1)).unwrap().0, "c");
        network.teardown().await.unwrap();
    });
}

#[test]
fn a_refused_transaction_changes_nothing_and_says_why() {
    use crate::nft::{Data, Transaction};
    in_new_namespaces(async |dir| {
        let network = Network::open(config(dir)).await.unwrap();
        let [a, ..] = three_pods(&network).await;
        network.apply_services(&[service(1, 8080, &[&a])]).await.unwrap();
        let mut netlink = crate::nft::open().unwrap();
        let mut transaction = Transaction::new("konzert-0123456789ab");
        transaction.delete_chain("svc-2");
        let error = transaction.commit(&mut netlink, "break it").unwrap_err();
        assert!(error.is(nix::errno::Errno::EBUSY), "{error:?}");
        let mut transaction = Transaction::new("konzert-0123456789ab");
        transaction.add_chain("new");
        transaction.add_elements("services", &[(vec![1; 12], Data::Goto("new".into()))]);
        transaction.add_elements("no-such-set", &[(vec![1; 12], Data::Nothing)]);
        let error = transaction.commit(&mut netlink, "break it").unwrap_err();
        assert!(error.is(nix::errno::Errno::ENOENT) && error.to_string().contains("step 3 of 5"), "{error}");
        assert_eq!(ask(vip(1)).unwrap().0, "a");
        network.teardown().await.unwrap();
    });
}

/// A small range is used up again and again, faster than the kernel deletes links.
#[test]
fn addresses_come_again_at_once_when_they_must() {
    in_new_namespaces(async |dir| {
        let small = NetworkConfig { pod_cidr: "10.244.0.0/29".parse().unwrap(), ..config(dir) };
        let network = Network::open(small).await.unwrap();
        for round in 0..4 {
            let uids: Vec<String> = (0..5).map(|n| format!("pod-{round}-{n}")).collect();
            for uid in &uids {
                let pod = network.add_pod(uid).await.unwrap();
                serve(&pod, "pod");
                assert_eq!(ask(at(pod.ip, 80)).unwrap().0, "pod", "{uid}");
            }
            assert!(matches!(network.add_pod("one-too-many").await, Err(NetworkError::Exhausted { .. })));
            for uid in &uids {
                network.remove_pod(uid).await.unwrap();
            }
        }
        network.teardown().await.unwrap();
    });
}

#[test]
fn names_are_checked_before_they_become_paths() {
    in_new_namespaces(async |dir| {
        for instance in ["", "a/b", "-", "é", &"a".repeat(33)] {
            let config = NetworkConfig { instance: instance.into(), ..config(dir) };
            assert!(matches!(Network::open(config).await, Err(NetworkError::InvalidInstance { .. })));
        }
        let overlapping = NetworkConfig { service_cidr: "10.244.7.0/24".parse().unwrap(), ..config(dir) };
        assert!(matches!(Network::open(overlapping).await, Err(NetworkError::Ranges { .. })));
        assert_eq!(std::fs::read_dir(dir).unwrap().count(), 0, "a refused start leaves nothing");
        let network = Network::open(config(dir)).await.unwrap();
        for uid in ["", ".", "..", "../x", "a/b", "a\0b", "a b", &"a".repeat(64)] {
            assert!(matches!(network.add_pod(uid).await, Err(NetworkError::InvalidUid { .. })), "{uid:?}");
            assert!(matches!(network.remove_pod(uid).await, Err(NetworkError::InvalidUid { .. })), "{uid:?}");
        }
        network.teardown().await.unwrap();
    });
}
