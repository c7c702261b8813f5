//! Certificate requests, and the rotation of certificates.

use super::*;

const APPROVAL: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests/r/approval";

/// A certificate request called `r`, and the key that signed it.
pub(crate) fn request(user: &str, group: &str, signer: &str) -> (Value, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, user);
    params.distinguished_name.push(DnType::OrganizationName, group);
    let pem = params.serialize_request(&key).unwrap().pem().unwrap();
    let object = json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": { "name": "r" },
        "spec": { "request": STANDARD.encode(pem), "signerName": signer, "usages": ["client auth"], "expirationSeconds": 3600 },
    });
    (object, key)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_request_becomes_a_certificate_that_works() {
    let listening = Listening::new().await;
    let server = &listening.server;
    let (mut object, key) = request("jane", "dev", "kubernetes.io/kube-apiserver-client");
    object["spec"]["username"] = json!("somebody-else");
    let alice = listening.user("alice", &[]).await;
    listening
        .grant(
            "csr",
            &json!({ "kind": "User", "name": "alice" }),
            &json!([{ "verbs": ["*"], "apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests", "certificatesigningrequests/approval"] }]),
        )
        .await;
    let mut stored = post(&alice, REQUESTS, &object).await.expect(201);
    assert_eq!(stored["spec"]["username"], "alice");
    assert_eq!(stored["spec"]["groups"], json!(["system:authenticated"]));
    stored["status"]["conditions"] =
        json!([{ "type": "Approved", "status": "True", "reason": "Test", "message": "yes" }]);
    assert_eq!(
        message(call(&alice, "PUT", APPROVAL, &[], &stored).await, 403),
        "certificatesigningrequests.certificates.k8s.io \"r\" is forbidden: user not permitted to approve requests with \
         signerName \"kubernetes.io/kube-apiserver-client\""
    );
    let mut both = stored.clone();
    both["status"]["conditions"] =
        json!([{ "type": "Approved", "status": "True" }, { "type": "Denied", "status": "True" }]);
    assert!(message(server.put(APPROVAL, &both).await, 422).contains("mutually exclusive"));
    let mut stray = stored.clone();
    stray["status"]["certificate"] = json!("QUJD");
    let approved = server.put(APPROVAL, &stray).await.expect(200);
    assert_eq!(approved["status"].get("certificate"), None);
    assert!(approved["status"]["conditions"][0]["lastUpdateTime"].is_string());
    let issued = async {
        loop {
            let object = server.get(&format!("{REQUESTS}/r")).await.expect(200);
            if let Some(certificate) = object["status"]["certificate"].as_str() {
                return String::from_utf8(STANDARD.decode(certificate).unwrap()).unwrap();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let certificate = tokio::time::timeout(Duration::from_secs(20), issued).await.unwrap();
    let jane = Proof::Certificate(KeyedCertificate { certificate, key: key.serialize_pem() });
    let info = who(&listening.client(&jane).await).await;
    assert_eq!(
        (&info["username"], &info["groups"]),
        (&json!("jane"), &json!(["dev", "system:authenticated"]))
    );
    assert!(
        info["extra"]["authentication.kubernetes.io/credential-id"][0]
            .as_str()
            .unwrap()
            .starts_with("X509SHA256=")
    );
    decisions_stay(server).await;
}

/// What was decided stays decided, and is shown.
async fn decisions_stay(server: &Server) {
    let mut undecided = server.get(&format!("{REQUESTS}/r")).await.expect(200);
    undecided["status"]["conditions"] = json!([]);
    assert!(
        message(server.put(APPROVAL, &undecided).await, 422)
            .contains("updates may not remove a condition of type \"Approved\"")
    );
    undecided["spec"]["signerName"] = json!("example.com/other");
    let unchanged = server.put(&format!("{REQUESTS}/r"), &undecided).await.expect(200);
    assert_eq!(unchanged["spec"]["signerName"], "kubernetes.io/kube-apiserver-client");
    let table = server
        .call("GET", REQUESTS, &[("accept", "application/json;as=Table;g=meta.k8s.io;v=v1")], Vec::new())
        .await
        .expect(200);
    let cells = table["rows"][0]["cells"].as_array().unwrap();
    assert_eq!(
        cells[2..],
        [
            json!("kubernetes.io/kube-apiserver-client"),
            json!("alice"),
            json!("60m"),
            json!("Approved,Issued")
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_cannot_be_are_refused() {
    let listening = Listening::new().await;
    let server = &listening.server;
    let (masters, _) = request("jane", "system:masters", "kubernetes.io/kube-apiserver-client");
    assert!(
        message(server.post(REQUESTS, &masters).await, 403)
            .contains("with system:masters group is not allowed")
    );
    let (good, _) = request("jane", "dev", "example.com/own");
    for (pointer, value, text) in [
        ("/spec/request", json!(STANDARD.encode("x")), "spec.request: Invalid value: "),
        (
            "/spec/request",
            json!(
                STANDARD
                    .encode("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----")
            ),
            "unable to parse",
        ),
        ("/spec/usages", json!([]), "spec.usages: Required value"),
        ("/spec/usages", json!(["flying"]), "spec.usages[0]: Unsupported value: \"flying\""),
        (
            "/spec/signerName",
            json!("x"),
            "must be a fully qualified domain and path of the form 'example.com/signer-name'",
        ),
        (
            "/spec/expirationSeconds",
            json!(10),
            "may not specify a duration less than 600 seconds (10 minutes)",
        ),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        let found = message(server.post(REQUESTS, &bad).await, 422);
        assert!(found.contains(text), "{pointer}: {found}");
    }
    // A signer that is not here: the request waits.
    let mut stored = server.post(REQUESTS, &good).await.expect(201);
    stored["status"]["conditions"] = json!([{ "type": "Approved", "status": "True" }]);
    server.put(&format!("{REQUESTS}/r/approval"), &stored).await.expect(200);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(server.get(&format!("{REQUESTS}/r")).await.expect(200)["status"].get("certificate"), None);
}

/// A TLS connection that tells which certificate the server showed.
async fn connect(
    listening: &Listening,
    pki: &Pki,
) -> (Vec<u8>, tokio_rustls::client::TlsStream<tokio::net::TcpStream>) {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls_pemfile::certs(&mut pki.ca_certificate().as_bytes()).next().unwrap().unwrap()).unwrap();
    let config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    let address = listening.url.strip_prefix("https://").unwrap();
    let socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap();
    let shown = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
    (shown, stream)
}

async fn healthy(stream: &mut tokio_rustls::client::TlsStream<tokio::net::TcpStream>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"ok") {
        let mut piece = [0; 512];
        let read = stream.read(&mut piece).await.unwrap();
        assert_ne!(read, 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&piece[..read]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_shown_to_new_connections_and_old_ones_live_on() {
    // With 65 of its 365 days left, a certificate is due and still good.
    let listening = Listening::since(Timestamp::now() - (300 * 24).hours()).await;
    let (first, mut old) = connect(&listening, &listening.pki).await;
    healthy(&mut old).await;
    assert!(listening.pki.renew_if_due(Timestamp::now()).unwrap());
    let (second, mut new) = connect(&listening, &listening.pki).await;
    assert_ne!(first, second);
    healthy(&mut new).await;
    healthy(&mut old).await;
}
