//! Pulling from a registry on the loopback interface: names, indexes, authentication, broken and hostile answers.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "support/registry.rs"]
mod registry;

use std::error::Error as _;
use std::time::Duration;

use konzert_images::{
    ContentStore, Credentials, ImageError, ImageRecord, PlainHttp, Reference, RegistryOptions, RemoteImage,
};
use registry::{Access, INDEX, MANIFEST, Manners, Registry, digest, host_architecture};
use serde_json::{Value, json};

/// A tar with one file.
fn layer(path: &str, content: &[u8]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    tar.append_data(&mut header, path, content).unwrap();
    tar.into_inner().unwrap()
}

fn status(version: &str) -> Vec<u8> {
    let text = format!("Package: lib\nStatus: install ok installed\nArchitecture: all\nVersion: {version}\n");
    layer("var/lib/dpkg/status", text.as_bytes())
}

/// Something that takes more than one read.
fn large() -> Vec<u8> {
    let content: Vec<u8> = (0..400_000_u32).flat_map(u32::to_le_bytes).collect();
    layer("large", &content)
}

struct Place {
    registry: Registry,
    store: ContentStore,
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = ContentStore::open(&dir.path().join("images")).unwrap();
        Self { registry: Registry::new(), store, dir }
    }

    fn reference(&self, name: &str) -> Reference {
        Reference::parse(&format!("{}/{name}", self.registry.host)).unwrap()
    }

    fn pull(&self, name: &str) -> Result<ImageRecord, ImageError> {
        self.pull_with(name, &RegistryOptions::default())
    }

    fn pull_with(&self, name: &str, options: &RegistryOptions) -> Result<ImageRecord, ImageError> {
        self.store.pull(&self.reference(name), options, &|_| {})
    }

    /// The cause of a failure, all of it, after which nothing is in the store.
    #[track_caller]
    fn fails(&self, name: &str) -> String {
        let error = self.pull(name).unwrap_err();
        assert!(error.hint().is_some(), "no hint: {error:?}");
        self.is_empty();
        chain(&error)
    }

    #[track_caller]
    fn is_empty(&self) {
        assert_eq!(self.store.list().unwrap(), []);
        for dir in ["blobs/sha256", "tmp", "layers"] {
            let left: Vec<_> = std::fs::read_dir(self.dir.path().join("images").join(dir)).unwrap().collect();
            assert!(left.is_empty(), "{dir}: {left:?}");
        }
    }
}

fn chain(error: &ImageError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn with_credentials(host: &str, pair: &str) -> RegistryOptions {
    let file = json!({"auths": {host: {"auth": pair}}}).to_string();
    let credentials = Credentials::from_docker_config(file.as_bytes()).unwrap();
    RegistryOptions { credentials, ..RegistryOptions::default() }
}

#[test]
fn by_tag_and_by_digest_and_what_is_there_does_not_come_again() {
    let place = Place::new();
    let manifest = place.registry.put_image("1", &[status("1"), large()], &json!({"Cmd": ["/x"]}));
    let pulled = place.pull("team/app:1").unwrap();
    let name = format!("{}/team/app:1", place.registry.host);
    assert_eq!(
        (pulled.names.as_slice(), pulled.digest.as_str()),
        (&[name][..], manifest["digest"].as_str().unwrap())
    );
    assert_eq!(pulled.config.cmd, ["/x"]);
    assert!(place.store.layer_facts(&pulled.layers[0].diff_id).unwrap().files.len() == 1);
    place.registry.requests();
    assert_eq!(place.pull("team/app:1").unwrap(), pulled);
    let paths = place.registry.paths();
    assert_eq!(paths, ["HEAD team/app/manifests/1"], "the same image is asked for once and not sent");

    // By digest, the image gets no name; a newer one brings its own layer only.
    let newer = place.registry.put_image("1", &[status("1"), status("2")], &json!({}));
    let digest = newer["digest"].as_str().unwrap();
    let by_digest = place.pull(&format!("team/app@{digest}")).unwrap();
    assert_eq!((by_digest.names.len(), by_digest.digest.as_str()), (0, digest));
    let blobs = place.registry.paths().iter().filter(|path| path.contains("/blobs/")).count();
    assert_eq!(blobs, 2, "the configuration and one layer");
    assert_eq!(place.pull("team/app:1").unwrap().digest.as_str(), digest, "the tag moves");
    assert_eq!(place.store.list().unwrap().len(), 2);
}

#[test]
fn an_index_leads_to_the_image_of_the_platform() {
    let place = Place::new();
    let strange = if host_architecture() == "arm64" { "amd64" } else { "arm64" };
    let described = |architecture: &str, version: &str| {
        let layers = [status(version)];
        let mut entry = place.registry.put_image_for(version, architecture, &layers, &json!({}));
        entry["platform"] = json!({"os": "linux", "architecture": architecture});
        entry
    };
    let (other, own) = (described(strange, "1"), described(host_architecture(), "2"));
    let attestation = json!({"mediaType": MANIFEST, "digest": digest(b"x"), "size": 1,
        "platform": {"os": "unknown", "architecture": "unknown"}});
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [attestation, other, own]});
    let index = place.registry.put_manifest("all", INDEX, &index);
    let nested = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [index]});
    place.registry.put_manifest("nested", INDEX, &nested);
    let pulled = place.pull("app:nested").unwrap();
    assert_eq!(pulled.digest.as_str(), own["digest"]);
    assert_eq!(pulled.index_digests.len(), 2);
    place.registry.requests();
    assert_eq!(
        place.pull(&format!("app@{}", index["digest"].as_str().unwrap())).unwrap().digest,
        pulled.digest
    );
    assert_eq!(place.registry.paths().len(), 1);

    let platform = Some(format!("linux/{strange}").parse().unwrap());
    let options = RegistryOptions { platform, ..RegistryOptions::default() };
    assert_eq!(place.pull_with("app:all", &options).unwrap().digest.as_str(), other["digest"]);
    let platform = Some("linux/riscv64".parse().unwrap());
    let options = RegistryOptions { platform, ..RegistryOptions::default() };
    let error = chain(&place.pull_with("app:all", &options).unwrap_err());
    assert!(error.contains("no image for linux/riscv64") && error.contains("linux/amd64"), "{error}");
}

#[test]
fn an_index_inside_itself_ends() {
    let place = Place::new();
    // Whose digest nobody can make: the registry lies about what is inside.
    let inner = json!({"mediaType": INDEX, "digest": digest(b"me"), "size": 1});
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [inner]});
    let described = place.registry.put_manifest("loop", INDEX, &index);
    place.registry.put_manifest(&digest(b"me"), INDEX, &index);
    assert!(place.fails("app:loop").contains("has the digest"));
    let mut deep = described;
    for depth in 0..6 {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [deep]});
        deep = place.registry.put_manifest(&format!("deep{depth}"), INDEX, &index);
    }
    assert!(place.fails("app:deep5").contains("levels"));
}

#[test]
fn tokens_and_passwords() {
    let place = Place::new();
    place.registry.put_image("1", &[status("1")], &json!({}));
    let access = |access| place.registry.behave(Manners { access, ..Manners::default() });
    // Anonymous.
    access(Access::Token(None));
    place.pull("app:1").unwrap();
    let asked = place.registry.requests();
    let token = asked.iter().find(|request| request.starts_with("GET /token?")).unwrap();
    assert!(
        token.contains("scope=repository%3Aapp%3Apull&service=test"),
        "no more than reading is asked for: {token}"
    );
    // With a password, and a token that gets old.
    access(Access::Token(Some("dTpw".to_owned())));
    let denied = place.pull("app:1").unwrap_err();
    assert!(chain(&denied).contains("denies access to app"), "{denied:?}");
    let options = with_credentials(&place.registry.host, "dTpw");
    place.pull_with("app:1", &options).unwrap();
    let mut remote = RemoteImage::open(&place.reference("app:1"), &options).unwrap();
    place.registry.forget_tokens();
    let layer = remote.record().layers[0].clone();
    assert_eq!(remote.layer_facts(&layer, &|_| {}).unwrap().files.len(), 1);
    // Without a token service.
    access(Access::Basic("dTpw".to_owned()));
    place.pull_with("app:1", &options).unwrap();
    // An image that is there is asked for with HEAD, and the answer has no words.
    let wrong = with_credentials(&place.registry.host, "dTpx");
    let wrong = RemoteImage::open(&place.reference("app:1"), &wrong).unwrap_err();
    assert!(
        wrong.hint().unwrap().contains("may read it") && chain(&wrong).contains("who are you?"),
        "{wrong:?}"
    );
    let helper = br#"{"credsStore": "desktop"}"#;
    let credentials = Credentials::from_docker_config(helper).unwrap();
    let helped = place.pull_with("app:1", &RegistryOptions { credentials, ..RegistryOptions::default() });
    assert!(helped.unwrap_err().hint().unwrap().contains("helpers are not run"));
}

#[test]
fn who_is_redirected_to_does_not_learn_who_asks() {
    let (place, elsewhere) = (Place::new(), Registry::new());
    place.registry.put_image("1", &[status("1")], &json!({}));
    elsewhere.put_image("1", &[status("1")], &json!({}));
    let blobs_at = Some(format!("http://{}", elsewhere.host));
    let access = Access::Basic("dTpw".to_owned());
    place.registry.behave(Manners { access, blobs_at, ..Manners::default() });
    place.pull_with("app:1", &with_credentials(&place.registry.host, "dTpw")).unwrap();
    let (own, strange) = (place.registry.requests(), elsewhere.requests());
    assert!(own.iter().any(|request| request.to_lowercase().contains("authorization: basic")));
    assert_eq!(strange.len(), 2);
    assert!(strange.iter().all(|request| !request.to_lowercase().contains("authorization")), "{strange:?}");
    for target in ["http://192.0.2.1", "file:///etc", &format!("http://{}", place.registry.host)] {
        let blobs_at = Some(target.to_owned());
        place.registry.behave(Manners { blobs_at, ..Manners::default() });
        let error = Place { registry: place.registry.clone(), ..Place::new() }.fails("app:1");
        assert!(error.contains("redirects to"), "{target}: {error}");
    }
}

#[test]
fn a_broken_connection_is_taken_up_where_it_broke() {
    for no_ranges in [false, true] {
        let place = Place::new();
        place.registry.put_image("1", &[large()], &json!({}));
        let manners = Manners { cut_at: Some(300_000), cuts: 3, no_ranges, ..Manners::default() };
        // The first cut would be in the configuration, which is shorter.
        place.registry.behave(manners);
        place.pull("app:1").unwrap();
        let ranges: Vec<String> = place
            .registry
            .requests()
            .iter()
            .filter_map(|request| request.lines().find(|line| line.starts_with("range:")).map(str::to_owned))
            .collect();
        let want: &[&str] = if no_ranges {
            &["range: bytes=300000-", "range: bytes=300000-"]
        } else {
            &["range: bytes=300000-", "range: bytes=600000-"]
        };
        assert_eq!(ranges, want);
    }
}

#[test]
fn a_blob_that_never_ends_right_leaves_nothing() {
    let place = Place::new();
    place.registry.put_image("1", &[status("1"), large()], &json!({}));
    place.registry.behave(Manners { cut_at: Some(10_000), cuts: 100, ..Manners::default() });
    let error = place.fails("app:1");
    assert!(error.contains("breaks off at byte 50000 of"), "{error}");
    // The same for who only reads.
    place.registry.behave(Manners::default());
    let mut remote = RemoteImage::open(&place.reference("app:1"), &RegistryOptions::default()).unwrap();
    let layers = remote.record().layers.clone();
    place.registry.behave(Manners { cut_at: Some(10_000), cuts: 1, dies: true, ..Manners::default() });
    assert!(remote.layer_facts(&layers[1], &|_| {}).is_err());
}

type Break<'a> = &'a dyn Fn(&Registry);

#[test]
fn nothing_wrong_comes_in() {
    let place = Place::new();
    let good = layer("a", b"a");
    let rows: [(&str, Break<'_>, &str); 5] = [
        ("another layer", &|r| r.put_blob_as(&digest(&good), &layer("a", b"b")), "has the digest"),
        ("a shorter layer", &|r| r.put_blob_as(&digest(&good), &good[..512]), "something else than the"),
        (
            "a longer layer",
            &|r| r.put_blob_as(&digest(&good), &[&good[..], b"x"].concat()),
            "something else than the",
        ),
        (
            "a manifest too large",
            &|r| {
                r.put_manifest("1", MANIFEST, &json!({"x": "y".repeat(5 << 20)}));
            },
            "exceeds the limit of 4194304 bytes",
        ),
        (
            "two things in one",
            &|r| {
                r.put_manifest("1", MANIFEST, &json!({"schemaVersion": 2, "manifests": [], "layers": []}));
            },
            "both an image and an index",
        ),
    ];
    for (what, spoil, want) in rows {
        place.registry.put_image("1", std::slice::from_ref(&good), &json!({}));
        spoil(&place.registry);
        let error = place.fails("app:1");
        assert!(error.contains(want), "{what}: {error}");
        if !what.contains("layer") {
            continue;
        }
        let mut remote = RemoteImage::open(&place.reference("app:1"), &RegistryOptions::default()).unwrap();
        let only = remote.record().layers[0].clone();
        assert!(
            remote.layer_facts(&only, &|_| {}).is_err(),
            "{what}: it would be scanned as if it were right"
        );
        place.registry.put_blob(&good);
    }
    // A layer that is as promised, but not what the configuration says it unpacks to.
    let mut config = json!({"architecture": host_architecture(), "os": "linux"});
    config["rootfs"] = json!({"type": "layers", "diff_ids": [digest(b"other")]});
    let config = config.to_string().into_bytes();
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": place.registry.put_blob(&config), "size": config.len()},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": place.registry.put_blob(&good), "size": good.len()}]});
    place.registry.put_manifest("1", MANIFEST, &manifest);
    assert!(place.fails("app:1").contains("unpacks to"));
}

#[test]
fn layers_beyond_reason_are_refused_before_they_come() {
    let place = Place::new();
    let config = json!({"architecture": host_architecture(), "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}});
    let config = config.to_string().into_bytes();
    let config = json!({"mediaType": "application/vnd.oci.image.config.v1+json", "digest": place.registry.put_blob(&config), "size": config.len()});
    let manifest = |count: usize, size: u64| -> Value {
        let layer = json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest(b"x"), "size": size});
        json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": vec![layer; count]})
    };
    for (count, size, want) in [
        (501, 1, "500 layers"),
        (1, 17 << 30, "17179869184 bytes"),
        (5, 16 << 30, "68719476736 bytes"),
        (1, u64::MAX, "bytes"),
    ] {
        place.registry.put_manifest("1", MANIFEST, &manifest(count, size));
        let error = place.fails("app:1");
        assert!(error.contains(want), "{error}");
    }
    assert!(place.registry.paths().iter().all(|path| !path.contains("/blobs/")));
}

#[test]
fn a_pull_that_is_cut_off_leaves_no_half_image() {
    let place = Place::new();
    place.registry.put_image("1", &[status("1"), large()], &json!({}));
    place.registry.behave(Manners { cut_at: Some(200_000), cuts: 3, dies: true, ..Manners::default() });
    place.fails("app:1");
    // What a kill leaves is gone at the next open.
    let stage = place.dir.path().join("images/tmp/stage-x");
    std::fs::create_dir(&stage).unwrap();
    std::fs::File::create(stage.join("0")).unwrap();
    ContentStore::open(&place.dir.path().join("images")).unwrap();
    place.is_empty();
}

#[test]
fn names_that_lead_nowhere_are_told_at_once() {
    let place = Place::new();
    assert!(
        place.fails("app:gone").contains("has no app (manifests/gone): MANIFEST_UNKNOWN: unknown\u{fffd}")
    );
    let rows = [("ghost.invalid/x:1", "do not exist"), ("127.0.0.1:1/x:1", "cannot connect")];
    for (name, want) in rows {
        let reference = Reference::parse(name).unwrap();
        let error = place.store.pull(&reference, &RegistryOptions::default(), &|_| {}).unwrap_err();
        assert!(chain(&error).contains(want) && error.is_unreachable(), "{error:?}");
    }
    assert!(!place.pull("app:gone").unwrap_err().is_unreachable());
}

#[test]
fn a_silent_registry_does_not_hold_anybody_up() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let name = format!("{}/x:1", listener.local_addr().unwrap());
    let mut options = RegistryOptions { plain_http: PlainHttp::Always, ..RegistryOptions::default() };
    options.patience.silence = Duration::from_millis(50);
    let error = RemoteImage::open(&Reference::parse(&name).unwrap(), &options).unwrap_err();
    assert!(chain(&error).contains("is silent"), "{error:?}");
    drop(listener);
}

#[test]
fn names_cannot_leave_their_place_in_an_address() {
    for name in [
        "../x:1",
        "a/../b:1",
        "127.0.0.1:5000/../../x",
        "127.0.0.1:5000/a?b",
        "127.0.0.1:5000/a:1/../2",
        "user@127.0.0.1:5000/a",
        "h/x@sha512:aa",
    ] {
        assert!(Reference::parse(name).is_err(), "{name}");
    }
}
