//! `konzert up`: runs the engine in the foreground, or starts one in the background and waits until it is ready.

use std::os::unix::process::CommandExt as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{Global, Up};
use crate::config::{self, Create, Places};
use crate::engine::{self, Engine, EngineConfig};
use crate::exit::{Exit, Failure, Outcome};
use crate::lock::{self, EngineLock};
use crate::printer::Printer;

/// How long a detached engine may take before we call it failed.
const DETACHED_READY: Duration = Duration::from_mins(1);

pub(crate) async fn run(global: &Global, args: &Up, printer: &Printer) -> Outcome {
    config::need_root("konzert up")?;
    need_cgroups()?;
    if args.detach {
        let places = Places::of(&global.data_dir, Create::Yes)?;
        return detach(global, args, &places, printer).await;
    }
    let started = Instant::now();
    // Who has the directory is the better answer when the address is taken too; and a taken address leaves no directory.
    let held = global.data_dir.is_dir().then(|| EngineLock::take(&global.data_dir)).transpose()?;
    let listener = engine::listen(args.listen).await?;
    let places = Places::of(&global.data_dir, Create::Yes)?;
    let lock = match held {
        Some(lock) => lock,
        None => EngineLock::take(&places.data)?,
    };
    let node_name = node_name(args)?;
    let config = EngineConfig {
        places: places.clone(),
        node_name,
        kubeconfig_copy: args.write_kubeconfig.clone(),
        max_age: args.max_age.unwrap_or(konzert_fleet::DEFAULT_MAX_AGE),
    };
    let mut engine = Engine::start(listener, config).await?;
    printer.note(&format!(
        "engine ready after {} ms on https://{}\nkubeconfig: {}",
        started.elapsed().as_millis(),
        engine.address,
        places.kubeconfig().display()
    ));
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let ended = tokio::select! {
        _ = terminate.recv() => Ok(Exit::Done),
        _ = interrupt.recv() => Ok(Exit::Done),
        failure = engine.failed() => Err(failure),
    };
    engine.stop().await?;
    drop(lock);
    ended
}

/// A node's name is an RFC 1123 subdomain; host names may have capitals and underscores.
pub(crate) fn node_name(args: &Up) -> Result<String, Failure> {
    if let Some(name) = &args.node_name {
        return Ok(name.clone());
    }
    let host = nix::unistd::gethostname()?.to_string_lossy().to_ascii_lowercase();
    let clean: String =
        host.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    let clean = clean.trim_matches(['-', '.']).to_owned();
    Ok(if clean.is_empty() { "konzert".to_owned() } else { clean })
}

fn need_cgroups() -> Result<(), Failure> {
    let controllers = std::fs::read_to_string("/proc/self/mountinfo")?;
    if controllers.contains(" - cgroup") {
        return Ok(());
    }
    Err(Failure::usage("no cgroup file system is mounted", "mount one: mount -t cgroup2 none /sys/fs/cgroup"))
}

async fn detach(global: &Global, args: &Up, places: &Places, printer: &Printer) -> Outcome {
    if let Some(pid) = lock::holder(&places.data)? {
        return Err(Failure::usage(
            format!("data directory {} is in use by another engine (process {pid})", places.data.display()),
            "stop it with `konzert down`, or choose another with --data-dir",
        ));
    }
    let log_path = places.data.join("engine.log");
    let log = std::fs::File::options().create(true).append(true).open(&log_path)?;
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command.arg("--data-dir").arg(&places.data).arg("up").arg("--listen").arg(args.listen.to_string());
    if let Some(path) = &args.write_kubeconfig {
        command.arg("--write-kubeconfig").arg(path);
    }
    if let Some(name) = &args.node_name {
        command.arg("--node-name").arg(name);
    }
    if let Some(age) = args.max_age {
        command.arg("--max-age").arg(format!("{}s", age.as_secs()));
    }
    command.args(std::iter::repeat_n("-v", usize::from(global.verbose)));
    // A process group of its own: Ctrl-C at this terminal is not meant for it.
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0).spawn()?;
    let mut progress = printer.progress("starting the engine");
    let deadline = Instant::now() + DETACHED_READY;
    loop {
        if let Some(status) = child.try_wait()? {
            let said = std::fs::read_to_string(&log_path).unwrap_or_default();
            let last: Vec<&str> = said.lines().rev().take(2).collect();
            let code = if status.code() == Some(2) { Exit::Usage } else { Exit::Failed };
            let said = last.into_iter().rev().collect::<Vec<_>>().join("; ");
            return Err(Failure {
                error: anyhow::anyhow!("the engine ended at once: {said}"),
                hint: Some(format!("see {}", log_path.display())),
                exit: code,
            });
        }
        if super::status::ready(global).await {
            drop(progress);
            printer.note(&format!(
                "engine ready in the background (process {})\nkubeconfig: {}",
                child.id(),
                places.kubeconfig().display()
            ));
            return Ok(Exit::Done);
        }
        if Instant::now() > deadline {
            return Err(Failure::failed(anyhow::anyhow!(
                "the engine is not ready after {} s",
                DETACHED_READY.as_secs()
            ))
            .hint(format!("see {}", log_path.display())));
        }
        progress.update("waiting for the API");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
