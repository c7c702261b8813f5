//! The real kubectl on access: `auth whoami`, `auth can-i`, `create token`, `certificate approve`, `create rolebinding`.
//!
//! Needs the environment variable `KONZERT_KUBECTL`, the path of a kubectl; `cargo xtask test` fetches one and sets it.

use std::process::Stdio;

use super::*;

struct Kubectl {
    program: std::ffi::OsString,
    kubeconfig: std::path::PathBuf,
}

impl Kubectl {
    #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
    fn new(listening: &Listening) -> Option<Self> {
        let Some(program) = std::env::var_os("KONZERT_KUBECTL") else {
            eprintln!(
                "SKIPPED: kubectl on access: set KONZERT_KUBECTL to the path of a kubectl, or run `cargo xtask test`"
            );
            return None;
        };
        let kubeconfig = listening.server.dir.path().join("kubeconfig");
        let new = Self { program, kubeconfig };
        new.write(&listening.pki.admin_kubeconfig(&listening.url));
        Some(new)
    }

    fn write(&self, text: &str) {
        let file = std::fs::File::create(&self.kubeconfig);
        file.and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes())).unwrap();
    }

    /// Words between spaces; the output, and whether it went well.
    async fn run(&self, line: &str, input: &str) -> (String, bool) {
        use tokio::io::AsyncWriteExt;
        let home = self.kubeconfig.parent().unwrap();
        let mut child = tokio::process::Command::new(&self.program)
            .args(line.split_whitespace())
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
        let output = child.wait_with_output().await.unwrap();
        let text = [output.stdout, output.stderr].concat();
        (String::from_utf8(text).unwrap(), output.status.success())
    }

    async fn ok(&self, line: &str) -> String {
        let (text, good) = self.run(line, "").await;
        assert!(good, "kubectl {line}: {text}");
        text
    }

    async fn no(&self, line: &str) -> String {
        let (text, good) = self.run(line, "").await;
        assert!(!good, "kubectl {line}: {text}");
        text
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_on_access() {
    let listening = Listening::new().await;
    let Some(k) = Kubectl::new(&listening) else { return };
    let who = k.ok("auth whoami").await;
    assert!(who.contains("kubernetes-admin") && who.contains("system:masters"), "{who}");
    let rules = k.ok("auth can-i --list").await;
    assert!(
        rules.contains("*.*") && rules.contains("selfsubjectrulesreviews.authorization.k8s.io"),
        "{rules}"
    );
    assert!(k.no("auth can-i delete nodes --as jane").await.starts_with("no"));
    k.ok("create clusterrole node-reader --verb=get,list --resource=nodes").await;
    k.ok("create clusterrolebinding jane --clusterrole=node-reader --user=jane").await;
    assert!(k.ok("auth can-i list nodes --as jane").await.contains("yes"));
    k.ok("create role reader --verb=get --resource=configmaps").await;
    k.ok("create rolebinding reader --role=reader --serviceaccount=default:default").await;
    assert!(
        k.ok("auth can-i get configmaps --as system:serviceaccount:default:default").await.contains("yes")
    );
    let bindings = k.ok("get rolebindings -o wide").await;
    assert!(bindings.contains("Role/reader") && bindings.contains("default/default"), "{bindings}");
    assert!(k.ok("describe clusterrole node-reader").await.contains("nodes"));
    assert!(k.no("get pods --as jane").await.contains(
        "pods is forbidden: User \"jane\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\""
    ));
    let token = k.ok("create token default --duration=20m").await;
    let admin = std::fs::read_to_string(&k.kubeconfig).unwrap();
    let without: Vec<&str> = admin.lines().filter(|line| !line.contains("client-")).collect();
    let bare = Kubectl { kubeconfig: k.kubeconfig.with_extension("bare"), program: k.program.clone() };
    bare.write(&without.join("\n").replace("  user:\n", "  user: {}\n"));
    let who = bare.ok(&format!("auth whoami --token={}", token.trim())).await;
    assert!(who.contains("system:serviceaccount:default:default") && who.contains("JTI="), "{who}");
    let refused = bare.no("get pods --token=nonsense").await;
    assert!(refused.contains("Unauthorized") || refused.contains("logged in"), "{refused}");
    let (object, _) = request("jane", "dev", "kubernetes.io/kube-apiserver-client");
    let (created, good) = k.run("create -f -", &object.to_string()).await;
    assert!(good, "{created}");
    assert!(k.ok("get csr").await.contains("Pending"));
    k.ok("certificate approve r").await;
    k.ok("wait --for=jsonpath={.status.certificate} csr/r --timeout=20s").await;
    assert!(k.ok("get csr").await.contains("Approved,Issued"));
    assert!(
        k.ok("explain rolebinding.subjects.kind")
            .await
            .to_lowercase()
            .contains("kind of object being referenced")
    );
    let resources = k.ok("api-resources --api-group=authorization.k8s.io -o wide").await;
    assert!(resources.contains("localsubjectaccessreviews"), "{resources}");
}
