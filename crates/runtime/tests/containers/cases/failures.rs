//! Containers that cannot be started: the message names the cause, and nothing is left behind.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use konzert_runtime::{ContainerSpec, Mount, MountKind, RuntimeError};

use super::Case;
use crate::bed::{Bed, cgroup_dirs};

pub(crate) fn cases() -> Vec<(&'static str, Case)> {
    vec![
        ("a_program_that_cannot_be_executed", |bed| Box::pin(programs(bed))),
        ("a_container_that_cannot_be_created", |bed| Box::pin(containers(bed))),
        ("a_specification_that_is_refused", |bed| Box::pin(specifications(bed))),
        ("a_shim_that_does_not_work", |bed| Box::pin(no_shim(bed))),
    ]
}

/// The message and exit code of a start that has to fail; checks that it leaves nothing.
async fn failure(bed: &Bed, spec: &ContainerSpec) -> (String, i32) {
    let result = bed.runtime.create_and_start(spec).await;
    let Err(RuntimeError::StartFailed { message, exit_code, id }) = result else { panic!("{result:?}") };
    assert_eq!(id, spec.id.to_string());
    assert!(bed.runtime.list().await.is_empty());
    assert!(cgroup_dirs(&spec.cgroup_path).is_empty(), "cgroups left");
    assert!(!bed.shims_dir().join(spec.id.as_str()).exists(), "files left");
    (message, exit_code)
}

async fn programs(bed: &Bed) {
    let with_program = |program: &str| {
        let mut spec = bed.spec("broken", &[]);
        spec.args = vec![program.to_owned()];
        spec
    };
    let spec = with_program("/nope");
    for (name, mode, text) in
        [("data", 0o644, "x"), ("garbage", 0o755, "\u{1}\u{2}\u{3}"), ("script", 0o755, "#!/no/such\n")]
    {
        let path = spec.rootfs.join("bin").join(name);
        std::io::Write::write_all(&mut fs::File::create(&path).unwrap(), text.as_bytes()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let table = [
        ("/nope", "exec: \"/nope\": no such file or directory", 127),
        ("nope", "exec: \"nope\": executable file not found in $PATH", 127),
        ("/bin/data", "exec: \"/bin/data\": permission denied", 126),
        ("data", "exec: \"data\": permission denied", 126),
        ("/bin/garbage", "exec: \"/bin/garbage\": exec format error", 126),
        ("/bin/script", "exec: \"/bin/script\": no such file or directory", 127),
        ("/bin", "exec: \"/bin\": is a directory", 126),
    ];
    for (program, message, code) in table {
        assert_eq!(failure(bed, &with_program(program)).await, (message.to_owned(), code), "{program}");
    }
}

async fn containers(bed: &Bed) {
    let mut spec = bed.spec("no-cwd", &["exit", "0"]);
    spec.cwd = "/nowhere".into();
    let (message, code) = failure(bed, &spec).await;
    assert!(message.contains("chdir") && code == 128, "{message}");

    let mut spec = bed.spec("no-source", &["exit", "0"]);
    let missing = bed.temp.path().join("missing-volume");
    spec.mounts =
        vec![Mount { source: missing, destination: "/v".into(), kind: MountKind::Bind, read_only: false }];
    let (message, code) = failure(bed, &spec).await;
    println!("bad mount: {message}");
    assert!(message.contains("missing-volume") && code == 128, "{message}");

    let mut spec = bed.spec("no-rootfs", &["exit", "0"]);
    spec.rootfs = bed.temp.path().join("not-there");
    let (message, code) = failure(bed, &spec).await;
    assert!(message.to_lowercase().contains("no such file") && code == 128, "{message}");

    let mut spec = bed.spec("no-netns", &["exit", "0"]);
    spec.netns = Some("/run/no-such-netns".into());
    let (message, code) = failure(bed, &spec).await;
    println!("bad network namespace: {message}");
    assert_eq!(code, 128);

    let mut spec = bed.spec("no-log", &["exit", "0"]);
    spec.log.path = bed.temp.path().join("no/such/dir/0.log");
    let (message, code) = failure(bed, &spec).await;
    assert!(message.contains("cannot open the log file") && code == 128, "{message}");
}

async fn specifications(bed: &Bed) {
    type Edit = fn(&mut ContainerSpec);
    let edits: [(&str, Edit); 8] = [
        ("args", |spec| spec.args.clear()),
        ("env", |spec| spec.env.push("novalue".into())),
        ("cwd", |spec| spec.cwd = "relative".into()),
        ("cgroup_path", |spec| spec.cgroup_path = "/../escape".into()),
        ("cgroup_path", |spec| spec.cgroup_path = "/".into()),
        ("env", |spec| spec.env.push("A=\0".into())),
        ("stop_signal", |spec| spec.stop_signal = 0),
        ("capability", |spec| spec.security.add_capabilities = vec!["FLY".into()]),
    ];
    for (field, edit) in edits {
        let mut spec = bed.spec("wrong", &["exit", "0"]);
        edit(&mut spec);
        match bed.runtime.create_and_start(&spec).await {
            Err(RuntimeError::Spec(error)) => assert!(error.to_string().contains(field), "{error}"),
            other => panic!("{other:?}"),
        }
    }
}

async fn no_shim(bed: &mut Bed) {
    let with_shim = |exe: &str, arg: &str| {
        let mut config = crate::bed::config(&bed.run_dir());
        config.shim_exe = exe.into();
        config.shim_args = vec![arg.into()];
        konzert_runtime::Runtime::open(config).unwrap()
    };
    let spec = bed.spec("helpless", &["exit", "0"]);
    let missing = with_shim("/no/such/shim", "shim").create_and_start(&spec).await;
    assert!(matches!(missing, Err(RuntimeError::Spawn { .. })), "{missing:?}");
    let own = fs::read_link("/proc/self/exe").unwrap();
    let confused = with_shim(own.to_str().unwrap(), "payload").create_and_start(&spec).await;
    assert!(
        matches!(&confused, Err(RuntimeError::StartFailed { message, .. }) if message.contains("unknown verb")),
        "{confused:?}"
    );
}
