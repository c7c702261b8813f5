//! The command line as data: one definition gives the parser, the help and the completion.
//!
//! Does not run anything: see `verbs`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::{SignedDuration, SpanRelativeTo};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "konzert",
    version,
    about = "Runs containers, keeps them patched, and takes them away when they are no longer needed",
    after_help = "Exit codes: 0 done and clean, 1 findings or a gate refused, 2 wrong usage or input, 3 it failed.\n\
                  Example: konzert quickstart"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Options of every verb.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// Context of the kubeconfig to work on
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Kubeconfig to work on [default: the engine's on this machine, else $KUBECONFIG, else ~/.kube/config]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Where the engine keeps its state, images and logs
    #[arg(long, global = true, value_name = "DIR", default_value = "/var/lib/konzert")]
    pub(crate) data_dir: PathBuf,
    /// Output format
    #[arg(long, short, global = true, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
    /// Say more on stderr (-v, -vv)
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Print results and errors only
    #[arg(long, global = true)]
    pub(crate) quiet: bool,
    /// Never use colours
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people
    Table,
    /// One JSON document
    Json,
    /// One YAML document
    Yaml,
}

/// The verbs, one file each in `verbs/`.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run Kubernetes on this machine, in one process
    #[command(
        after_help = "Example: konzert up --detach && konzert status --wait && kubectl --kubeconfig /var/lib/konzert/kubeconfig get nodes"
    )]
    Up(Up),
    /// Engine, node and fleet in one screen; exit 0 only when ready
    #[command(after_help = "Example: konzert status --wait --timeout 30s")]
    Status(Status),
    /// Stop the engine; containers go on unless asked otherwise
    #[command(after_help = "Example: konzert down --containers")]
    Down(Down),
    /// Images of this machine
    #[command(subcommand, after_help = "Example: konzert image load app.tar")]
    Image(Image),
    /// The advisory database
    #[command(subcommand, after_help = "Example: konzert db import debian-osv.zip")]
    Db(Db),
    /// Test running containers, an image, a directory or a document against advisories
    #[command(
        after_help = "Examples: konzert scan\n          konzert scan --advisory CVE-2026-1234\n          konzert scan image:app:1.0 --fail-on high\n          konzert scan archive:app.tar --format sarif > app.sarif\n          konzert scan registry:debian:13\n          konzert scan rootfs:/mnt/disk --only-fixed --vex app.vex.json\n\n`image:` is an image of this machine; `registry:` reads one in its registry, and keeps nothing but what it says of packages.\nWith --fail-on, a result that is unknown or partial also ends with 1."
    )]
    Scan(Scan),
    /// Patch a vulnerability in all containers, in waves
    #[command(
        after_help = "Examples: konzert patch CVE-2026-1234 --plan\n          konzert patch CVE-2026-1234 --waves 1,50%,100% --soak 30s\n          konzert patch status",
        args_conflicts_with_subcommands = true
    )]
    Patch(Patch),
    /// Destroy what is no longer needed, with a reason, a record and an undo
    #[command(
        after_help = "Examples: konzert reap --plan\n          konzert reap\n          konzert reap undo rr-k2x7q",
        args_conflicts_with_subcommands = true
    )]
    Reap(Reap),
    /// The whole loop on this machine: offline, throwaway, cleans up after itself
    #[command(after_help = "Example: konzert quickstart -o json")]
    Quickstart(Quickstart),
    /// Print a completion script for a shell
    #[command(after_help = "Example: konzert completion bash > /etc/bash_completion.d/konzert")]
    Completion(Completion),
    /// Print the version
    Version,
}

/// `konzert up`.
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Address of the API server
    #[arg(long, default_value = "127.0.0.1:6443", value_name = "ADDR:PORT")]
    pub(crate) listen: SocketAddr,
    /// Also write the kubeconfig here (mode 0600)
    #[arg(long, value_name = "FILE")]
    pub(crate) write_kubeconfig: Option<PathBuf>,
    /// Go to the background once the engine is ready
    #[arg(long)]
    pub(crate) detach: bool,
    /// Name of the node [default: the host name]
    #[arg(long, value_name = "NAME")]
    pub(crate) node_name: Option<String>,
    /// How old what a source of advisories says may be, as 72h or 7d; beyond it scans say `unknown` [default: 7d]
    #[arg(long, value_parser = age, value_name = "TIME")]
    pub(crate) max_age: Option<SignedDuration>,
}

/// `konzert status`.
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Wait until the engine is ready
    #[arg(long)]
    pub(crate) wait: bool,
    /// How long to wait
    #[arg(long, default_value = "60s", value_parser = duration, value_name = "TIME")]
    pub(crate) timeout: Duration,
}

/// `konzert down`.
#[derive(Debug, Args)]
pub(crate) struct Down {
    /// Stop the containers too
    #[arg(long)]
    pub(crate) containers: bool,
    /// Stop the containers and delete the data directory
    #[arg(long)]
    pub(crate) purge: bool,
}

/// `konzert image …`.
#[derive(Debug, Subcommand)]
pub(crate) enum Image {
    /// Load an OCI layout (directory or tar) or a `docker save` archive
    #[command(after_help = "Example: konzert image load app.tar --name app:1.0")]
    Load {
        /// Archive or directory
        path: PathBuf,
        /// Name for an image that brings none
        #[arg(long, value_name = "NAME:TAG")]
        name: Option<String>,
    },
    /// Pull an image from a registry
    #[command(
        after_help = "Credentials come from `auths` of $REGISTRY_AUTH_FILE or ~/.docker/config.json; credential helpers are not run.\n\
                      Examples: konzert image pull debian:13\n          konzert image pull registry.example:5000/team/app:1.0 --platform linux/arm64"
    )]
    Pull {
        /// Name, tag and digest, as in a pod
        #[arg(value_name = "REF")]
        image: String,
        #[command(flatten)]
        registry: RegistryArgs,
    },
    /// List images
    #[command(visible_alias = "list", after_help = "Example: konzert image ls -o json")]
    Ls,
    /// Remove an image that nothing uses
    #[command(after_help = "Example: konzert image rm app:1.0")]
    Rm {
        /// Name or digest
        image: String,
    },
    /// Print what is in an image as a software bill of materials
    #[command(after_help = "Example: konzert image sbom app:1.0 --format spdx > app.spdx.json")]
    Sbom {
        /// Name or digest
        image: String,
        /// Format
        #[arg(long, value_enum, default_value_t = SbomFormat::Cyclonedx)]
        format: SbomFormat,
    },
    /// Show an image's configuration and layers
    #[command(after_help = "Example: konzert image inspect app:1.0")]
    Inspect {
        /// Name or digest
        image: String,
    },
}

/// How to talk to a registry.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct RegistryArgs {
    /// Platform of the image [default: this machine's]
    #[arg(long, value_name = "OS/ARCH")]
    pub(crate) platform: Option<String>,
    /// Speak plain HTTP with the registry, which anybody on the way can read and change
    #[arg(long)]
    pub(crate) plain_http: bool,
}

/// `konzert db …`.
#[derive(Debug, Subcommand)]
pub(crate) enum Db {
    /// Import advisories from files, directories, archives, addresses or named feeds
    #[command(
        after_help = "Formats, told by content: OSV (JSON, YAML, directory, zip, tar), the Debian tracker's JSON, Alpine \
                            secdb, CISA KEV, EPSS.\nFeeds: osv:ECOSYSTEM, alpine:BRANCH, debian-tracker, wolfi, chainguard, \
                            kev, epss.\nExample: konzert db import all.zip osv:PyPI kev"
    )]
    Import {
        /// Files, directories, archives, http(s) addresses or feeds
        #[arg(required = true, value_name = "SOURCE")]
        sources: Vec<String>,
    },
    /// Ask the addresses that were imported before whether there is something new
    #[command(after_help = "Example: konzert db update")]
    Update,
    /// What the database covers, and how old it is
    #[command(after_help = "Example: konzert db status --max-age 72h")]
    Status {
        /// How old what a source says may be, as 72h or 7d, before it is stale [default: 7d]
        #[arg(long, value_parser = age, value_name = "TIME")]
        max_age: Option<SignedDuration>,
    },
}

/// `konzert scan`.
#[derive(Debug, Args)]
pub(crate) struct Scan {
    /// `fleet`, `image:REF`, `registry:REF`, `oci:DIR`, `archive:FILE`, `rootfs:DIR` or `sbom:FILE`
    #[arg(default_value = "fleet")]
    pub(crate) target: String,
    /// Output format [default: what -o says]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) format: Option<ScanFormat>,
    /// Only this advisory or alias: who has it?
    #[arg(long, value_name = "ID")]
    pub(crate) advisory: Vec<String>,
    /// Exit 1 when something at or above this severity is found, or when it is not known; a finding that nobody has rated
    /// counts as low
    #[arg(long, value_enum, value_name = "SEVERITY")]
    pub(crate) fail_on: Option<Threshold>,
    /// Only findings that have a fix
    #[arg(long)]
    pub(crate) only_fixed: bool,
    /// Findings to live with, ours or a .trivyignore [default: .konzertignore.yaml, .trivyignore and .trivyignore.yaml of the
    /// current directory]
    #[arg(long, value_name = "FILE", conflicts_with = "no_ignore")]
    pub(crate) ignore_file: Vec<PathBuf>,
    /// Do not read the ignore files of the current directory
    #[arg(long)]
    pub(crate) no_ignore: bool,
    /// `OpenVEX` documents: what they say is not affected or fixed is set aside
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(crate) vex: Vec<PathBuf>,
    /// Leave nothing out: kernel packages, and language packages that the distribution answers for
    #[arg(long)]
    pub(crate) all: bool,
    /// How old what a source of advisories says may be, as 72h or 7d; beyond it the result is `unknown` [default: 7d]
    #[arg(long, value_parser = age, value_name = "TIME")]
    pub(crate) max_age: Option<SignedDuration>,
    #[command(flatten, next_help_heading = "Options of `registry:REF`")]
    pub(crate) registry: RegistryArgs,
}

/// Formats of `konzert scan`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScanFormat {
    /// Grouped by package, with what to do next
    Table,
    /// Our own (docs/scan-report.md)
    Json,
    /// SARIF 2.1.0
    Sarif,
    /// `CycloneDX` 1.6 with vulnerabilities
    Cyclonedx,
    /// SPDX 2.3
    Spdx,
    /// `OpenVEX` 0.2.0
    Openvex,
}

/// Formats of `konzert image sbom`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SbomFormat {
    /// `CycloneDX` 1.6
    Cyclonedx,
    /// SPDX 2.3
    Spdx,
}

/// Severities for `--fail-on` and `--severity`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Threshold {
    /// Everything, negligible and unrated ones too
    Unknown,
    /// Low and above, and what nobody has rated
    Low,
    /// Medium and above
    Medium,
    /// High and above
    High,
    /// Critical
    Critical,
}

/// `konzert patch`.
#[derive(Debug, Args)]
pub(crate) struct Patch {
    #[command(subcommand)]
    pub(crate) command: Option<PatchCommand>,
    /// Advisories to remove
    #[arg(value_name = "ADVISORY")]
    pub(crate) advisories: Vec<String>,
    /// Everything at or above this severity that has a fix
    #[arg(long, value_enum)]
    pub(crate) severity: Option<Threshold>,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub(crate) plan: bool,
    /// Cumulative wave sizes
    #[arg(long, value_delimiter = ',', default_value = "1,50%,100%")]
    pub(crate) waves: Vec<String>,
    /// How long a wave must stay healthy before the next one
    #[arg(long, default_value = "30s", value_parser = duration, value_name = "TIME")]
    pub(crate) soak: Duration,
    /// How long a wave may take to become ready
    #[arg(long, default_value = "120s", value_parser = duration, value_name = "TIME")]
    pub(crate) ready_timeout: Duration,
    /// Only these namespaces
    #[arg(long, short, value_name = "NAME")]
    pub(crate) namespace: Vec<String>,
    /// Only workloads with these labels
    #[arg(long, short = 'l', default_value = "", value_name = "SELECTOR")]
    pub(crate) selector: String,
    /// Most workloads that one campaign may change
    #[arg(long, default_value_t = 500)]
    pub(crate) max_workloads: u32,
}

/// `konzert patch status|pause|…`.
#[derive(Debug, Subcommand)]
pub(crate) enum PatchCommand {
    /// Show campaigns
    #[command(after_help = "Example: konzert patch status")]
    Status {
        /// Only this one, in detail
        campaign: Option<String>,
    },
    /// Start no further wave
    #[command(after_help = "Example: konzert patch pause campaign-k2x7q")]
    Pause {
        /// Campaign
        campaign: String,
    },
    /// Go on after a pause
    #[command(after_help = "Example: konzert patch resume campaign-k2x7q")]
    Resume {
        /// Campaign
        campaign: String,
    },
    /// Roll back the wave under way and stop
    #[command(after_help = "Example: konzert patch abort campaign-k2x7q")]
    Abort {
        /// Campaign
        campaign: String,
    },
    /// Put every patched workload back to the image it had
    #[command(after_help = "Example: konzert patch undo campaign-k2x7q")]
    Undo {
        /// Campaign
        campaign: String,
    },
}

/// `konzert reap`.
#[derive(Debug, Args)]
pub(crate) struct Reap {
    #[command(subcommand)]
    pub(crate) command: Option<ReapCommand>,
    /// Print what would be destroyed, and why
    #[arg(long)]
    pub(crate) plan: bool,
    /// A `ReapPolicy` manifest [default: the built-in policy]
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Do not wait for the ages of the policy: what is finished or unused goes at once
    #[arg(long)]
    pub(crate) now: bool,
}

/// `konzert reap log|undo`.
#[derive(Debug, Subcommand)]
pub(crate) enum ReapCommand {
    /// What was destroyed, when and why
    #[command(after_help = "Example: konzert reap log")]
    Log,
    /// Bring back what a record destroyed
    #[command(after_help = "Example: konzert reap undo rr-k2x7q")]
    Undo {
        /// Record id
        id: String,
    },
}

/// `konzert quickstart`.
#[derive(Debug, Args)]
pub(crate) struct Quickstart {
    /// Keep the throwaway data directory for a look at it
    #[arg(long)]
    pub(crate) keep: bool,
    /// Set by the program itself for the process inside the sandbox
    #[arg(long, hide = true)]
    pub(crate) inside: Option<PathBuf>,
}

/// `konzert completion`.
#[derive(Debug, Args)]
pub(crate) struct Completion {
    /// Shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

/// `30s`, `5m`, `1h30m`, or plain seconds.
fn duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse::<u32>() {
        return Ok(Duration::from_secs(u64::from(seconds)));
    }
    let span: jiff::SignedDuration =
        text.parse().map_err(|e| format!("{e}; write it as 30s, 5m or 1h30m"))?;
    Duration::try_from(span).map_err(|_negative| "must not be negative".to_owned())
}

/// `72h`, `7d`, `2w`: days have 24 hours.
fn age(text: &str) -> Result<SignedDuration, String> {
    let hint = "write it as 72h, 7d or 2w";
    let span: jiff::Span = text.parse().map_err(|e| format!("{e}; {hint}"))?;
    let age = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|e| format!("{e}; {hint}"))?;
    if age > SignedDuration::ZERO { Ok(age) } else { Err(format!("must be longer than nothing; {hint}")) }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_sound_and_every_verb_has_an_example() {
        let mut command = Cli::command();
        command.build();
        command.clone().debug_assert();
        for verb in command.get_subcommands().filter(|c| !["help", "version"].contains(&c.get_name())) {
            let leaves: Vec<_> = std::iter::once(verb)
                .chain(verb.get_subcommands().filter(|c| c.get_name() != "help"))
                .collect();
            for leaf in leaves {
                let help = leaf.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("Example"), "{}: no example", leaf.get_name());
            }
        }
    }

    #[test]
    fn durations() {
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("7"), Ok(Duration::from_secs(7)));
        assert!(duration("soon").is_err() && duration("-5s").is_err());
        assert_eq!(age("72h"), Ok(SignedDuration::from_hours(72)));
        assert_eq!(age("7d"), Ok(SignedDuration::from_hours(7 * 24)));
        assert_eq!(age("1w 12h"), Ok(SignedDuration::from_hours(7 * 24 + 12)));
        assert_eq!(age("259200s"), age("3d"));
        for wrong in ["", "7", "soon", "0s", "-3d", "2mo", "1y"] {
            assert!(age(wrong).is_err(), "{wrong}");
        }
    }
}
