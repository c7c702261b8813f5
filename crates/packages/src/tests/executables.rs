//! Build information in executables: made by the tests, by Go and by binutils where they are installed.

use std::io::{Read, Write as _};
use std::path::Path;
use std::process::Command;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::support::{ADDRESS, build_info, elf, of, rows};
use crate::{Format, LayerCataloguer, Precision, catalogue};

const MODULES: &str = "path\texample.com/app\nmod\texample.com/app\t(devel)\t\ndep\tgolang.org/x/net\tv0.7.0\th1:x=\n\
    dep\texample.com/old\tv1.0.0\n=>\texample.com/new\tv1.1.0\th1:y=\ndep\texample.com/local\tv1.0.0\n=>\t./local\t\n\
    build\t-ldflags=\"-s -X main.version=1.4.2\"\n";

fn audit() -> Vec<u8> {
    let json = r#"{"packages": [{"name": "app", "version": "0.1.0", "source": "local", "root": true},
        {"name": "serde", "version": "1.0.1", "source": "crates.io", "dependencies": [0]},
        {"name": "cc", "version": "1.0.0", "source": "crates.io", "kind": "build"}]}"#;
    let mut writer = ZlibEncoder::new(Vec::new(), Compression::best());
    writer.write_all(json.as_bytes()).unwrap();
    writer.finish().unwrap()
}

#[test]
fn go_modules_with_replacements_and_the_standard_library() {
    let file = elf(&[(".go.buildinfo", &build_info("go1.22.3 X:boringcrypto", MODULES))]);
    let found = of(&[("usr/bin/app", &file)]);
    assert!(found.complete, "{:?}", found.warnings);
    let want =
        ["example.com/app v1.4.2", "example.com/new v1.1.0", "golang.org/x/net v0.7.0", "stdlib 1.22.3"];
    assert_eq!(rows(&found), want);
    assert_eq!((found.packages[0].format, found.packages[0].ecosystem.as_str()), (Format::Go, "Go"));
}

#[test]
fn the_older_form_with_pointers() {
    let mut data = b"\xff Go buildinf:\x08\x00".to_vec();
    let modules = format!("{0}{MODULES}{0}", "0123456789abcdef");
    // Pointers to string headers, which point to text: all in the one segment.
    let texts = ["go1.16.5", modules.as_str()];
    let mut text_at = 64;
    for header_at in [32_u64, 48] {
        data.extend((ADDRESS + header_at).to_le_bytes());
    }
    for text in texts {
        data.extend((ADDRESS + text_at).to_le_bytes());
        data.extend((text.len() as u64).to_le_bytes());
        text_at += text.len() as u64;
    }
    for text in texts {
        data.extend(text.bytes());
    }
    let found = of(&[("app", &elf(&[(".go.buildinfo", &data)]))]);
    assert_eq!(rows(&found).last().unwrap(), "stdlib 1.16.5");
    assert_eq!(found.packages.len(), 4, "{:?}", found.warnings);
}

#[test]
fn crates_of_auditable_executables() {
    let found = of(&[("usr/bin/app", &elf(&[(".data", b"x"), (".dep-v0", &audit())]))]);
    assert!(found.complete, "{:?}", found.warnings);
    assert_eq!(rows(&found), ["app 0.1.0", "serde 1.0.1"]);
    let ecosystems: Vec<&str> = found.packages.iter().map(|p| p.ecosystem.as_str()).collect();
    assert_eq!(ecosystems, ["", "crates.io"]);
}

#[test]
fn damaged_build_information_is_a_warning() {
    let bad_info = [&b"\xff Go buildinf:\x08\x02"[..], &[0; 16], &[0xff; 64]].concat();
    let mut packed = elf(&[(".data", b"x")]);
    packed[120..124].copy_from_slice(b"UPX!");
    let rows: [(&str, Vec<u8>); 4] = [
        ("Go build information", elf(&[(".go.buildinfo", &bad_info)])),
        ("list of crates cannot be read", elf(&[(".data", b"x"), (".dep-v0", b"not zlib")])),
        ("table of sections", elf(&[(".data", b"x")])[..200].to_vec()),
        ("packed by UPX", packed),
    ];
    for (want, file) in rows {
        let found = of(&[("app", &file)]);
        assert!(found.warnings.iter().any(|w| w.contains(want)), "{want}: {:?}", found.warnings);
    }
}

/// Tables of a large file are not used: the marks are found wherever they lie, also across two chunks.
#[test]
fn a_large_executable_is_read_once_in_bounded_memory() {
    let filler = vec![0; 17 << 20];
    let head = &elf(&[(".data", b"x")])[..128];
    let info = build_info("go1.22.3", MODULES);
    for shift in [0, 60] {
        let file = [head, &filler[128 + shift..], &info, &filler[info.len() + shift..], &audit(), b"end"];
        let found = of(&[("usr/bin/large", &file.concat())]);
        assert!(found.complete, "{:?}", found.warnings);
        assert!(rows(&found).contains(&"serde 1.0.1".to_owned()));
        assert!(rows(&found).contains(&"golang.org/x/net v0.7.0".to_owned()));
    }
}

#[test]
fn the_beginning_of_a_large_executable_is_searched_too() {
    const HEAD: usize = crate::limits::EXECUTABLE_HEAD_BYTES;
    let head = &elf(&[(".data", b"x")])[..128];
    let (audit, info) = (audit(), build_info("go1.22.3", MODULES));
    let places = [512, HEAD / 2, HEAD - 5, HEAD - audit.len() / 2, HEAD];
    for (at, what) in places.iter().flat_map(|at| [(*at, &audit), (*at, &info)]) {
        let mut file = head.to_vec();
        file.resize(at, 1);
        file.extend(what);
        file.resize(usize::try_from(crate::limits::MAX_WHOLE_EXECUTABLE_BYTES).unwrap() + 1, 1);
        let found = of(&[("usr/bin/large", &file)]);
        let wanted = if what == &audit { "serde 1.0.1" } else { "golang.org/x/net v0.7.0" };
        assert!(rows(&found).iter().any(|row| row == wanted), "{wanted} at {at}: {:?}", rows(&found));
    }
}

#[test]
fn large_files_of_no_interest_are_not_read() {
    struct Counting(u64);
    impl Read for Counting {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.0 += buffer.len() as u64;
            buffer.fill(0);
            Ok(buffer.len())
        }
    }
    let mut cataloguer = LayerCataloguer::new("sha256:0");
    let mut content = Counting(0);
    for path in ["data/model.bin", "node_modules/a/package.json", "var/lib/rpm/rpmdb.sqlite"] {
        cataloguer.file(path, 2 << 30, &mut content).unwrap();
    }
    assert!(content.0 < 100, "{}", content.0);
    let found = catalogue(&[cataloguer.finish()], Precision::Precise);
    assert_eq!(found.warnings.len(), 2);
    assert!(found.warnings.iter().all(|w| w.contains("more than the limit")), "{:?}", found.warnings);
}

fn write(path: &Path, content: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::File::create(path).unwrap().write_all(content).unwrap();
}

/// A module proxy in a directory: one module in one version.
fn proxy(root: &Path, module: &str, version: &str) {
    let dir = root.join(module).join("@v");
    let source = format!("package {0}\n\nconst V = 1\n", module.rsplit('/').next().unwrap());
    let prefix = format!("{module}@{version}");
    let (go_mod, source_at) = (format!("{prefix}/go.mod"), format!("{prefix}/x.go"));
    let manifest = format!("module {module}\n");
    let files = [(go_mod.as_str(), manifest.as_bytes()), (source_at.as_str(), source.as_bytes())];
    write(
        &dir.join(format!("{version}.zip")),
        &super::support::jar(super::support::Archive::Deflated, &files),
    );
    write(&dir.join(format!("{version}.mod")), manifest.as_bytes());
    write(&dir.join(format!("{version}.info")), format!("{{\"Version\": \"{version}\"}}").as_bytes());
}

#[test]
fn an_executable_built_by_go() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    proxy(&root.join("proxy"), "example.com/dep", "v1.2.3");
    proxy(&root.join("proxy"), "example.com/fork", "v1.9.0");
    let manifest = "module example.com/app\n\ngo 1.18\n\nrequire (\n\texample.com/dep v1.2.3\n\texample.com/old v0.1.0\n)\n\n\
        replace example.com/old => example.com/fork v1.9.0\n";
    write(&root.join("app/go.mod"), manifest.as_bytes());
    write(
        &root.join("app/main.go"),
        b"package main\n\nimport (\n\t\"example.com/dep\"\n\told \"example.com/old\"\n)\n\nfunc main() { println(dep.V, old.V) }\n",
    );
    let mut go = Command::new("go");
    go.args(["build", "-mod=mod", "-o", "app", "."]).current_dir(root.join("app"));
    go.env("GOPROXY", format!("file://{}", root.join("proxy").display())).env("GONOSUMDB", "*");
    go.env("GOFLAGS", "-modcacherw").env("GOMODCACHE", root.join("modules")).env("GOTOOLCHAIN", "local");
    go.env("CGO_ENABLED", "0");
    let output = match go.output() {
        Ok(output) => output,
        Err(error) => return eprintln!("SKIPPED: go cannot be run ({error}); install Go"),
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let file = std::fs::read(root.join("app/app")).unwrap();
    let version = Command::new("go").args(["env", "GOVERSION"]).env("GOTOOLCHAIN", "local").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let found = of(&[("app", &file)]);
    assert!(found.complete, "{:?}", found.warnings);
    let stdlib = format!("stdlib {}", version.trim().trim_start_matches("go"));
    assert_eq!(rows(&found), ["example.com/dep v1.2.3", "example.com/fork v1.9.0", stdlib.as_str()]);
}

#[test]
fn a_section_added_by_binutils() {
    let dir = tempfile::tempdir().unwrap();
    let (section, program) = (dir.path().join("audit"), dir.path().join("app"));
    write(&section, &audit());
    let add = format!(".dep-v0={}", section.display());
    let output = Command::new("objcopy").args(["--add-section", &add, "/bin/true"]).arg(&program).output();
    match output {
        Ok(output) if output.status.success() => {}
        other => return eprintln!("SKIPPED: objcopy cannot be run ({other:?}); install binutils"),
    }
    let found = of(&[("usr/bin/true", &std::fs::read(&program).unwrap())]);
    assert_eq!(rows(&found), ["app 0.1.0", "serde 1.0.1"], "{:?}", found.warnings);
}
