//! The Debian packages: the release files divided into two, with what `packaging/debian` says of them.
//!
//! Two, because an NSS module is loaded by programs of every architecture and in containers that have no daemon:
//! `libnss-mesher` is the module alone, and is installed once for each architecture; `data-mesher` is the rest.
//!
//! They are built with dpkg's own tools from the tree that `install` takes too, so there is one list of files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{dist, host, paths};

/// What building takes, and the Debian package of each.
pub(crate) const TOOLS: [(&str, &str); 4] =
    [("dpkg-deb", "dpkg"), ("dpkg-shlibdeps", "dpkg-dev"), ("strip", "binutils"), ("gzip", "gzip")];

/// What `deb` was asked for.
#[derive(Default)]
pub(crate) struct Options {
    /// The packages' version, when it is not the workspace's.
    pub(crate) version: Option<String>,
    /// A finished dist tree to take the files from, instead of building them.
    pub(crate) from: Option<PathBuf>,
}

const DAEMON: &str = "data-mesher";
const MODULE: &str = "libnss-mesher";
/// The module's package has this much beside the module itself.
const MODULE_FILES: [&str; 2] = ["libnss_mesher.so.2", "nss-mesher.8"];
/// Debian has these in files of its own names.
const LEFT_OUT: [&str; 3] = ["LICENSE-MIT", "LICENSE-APACHE", "CHANGELOG.md"];
/// The packaging's revision: the version is the project's, which is not made for Debian alone.
const REVISION: &str = "1";

/// Builds both packages into `target/deb`. Returns their paths.
///
/// # Errors
///
/// Without dpkg's tools, and when a build fails or a file cannot be written.
pub(crate) fn build(options: &Options) -> Result<Vec<PathBuf>> {
    let missing: Vec<&str> =
        TOOLS.iter().filter(|(tool, _)| host::find(tool).is_none()).map(|(_, package)| *package).collect();
    if !missing.is_empty() {
        bail!("Debian packages are built on Debian, with: apt-get install {}", missing.join(" "));
    }
    let tree = dist::given_or_built(options.from.as_deref())?;
    let given = options.version.as_deref().unwrap_or(env!("CARGO_PKG_VERSION"));
    let control = fs::read_to_string(templates().join("control")).context("reading the control file")?;
    let maintainer = match (std::env::var("DEBFULLNAME"), std::env::var("DEBEMAIL")) {
        (Ok(name), Ok(address)) => format!("{name} <{address}>"),
        _ => {
            field(&control, "Maintainer").context("packaging/debian/control names no maintainer")?.to_owned()
        }
    };
    let release = Release {
        version: format!("{given}-{REVISION}"),
        architecture: host::output(Command::new("dpkg").arg("--print-architecture"))?.trim().to_owned(),
        epoch: dist::epoch()?,
        maintainer,
    };
    // Of another version's packages none is left, that nobody takes them for these.
    dist::remove_tree(&directory())?;
    let mut packages = Vec::new();
    for name in [DAEMON, MODULE] {
        let stanza = stanza(&control, name)?;
        packages.push(
            Package { name, stage: directory().join("stage").join(name) }
                .build(&tree, &release, stanza, &control)?,
        );
    }
    Ok(packages)
}

/// What both packages share.
struct Release {
    version: String,
    architecture: String,
    /// Seconds since 1970: no file in a package is younger, so that the same tree makes the same packages.
    epoch: String,
    maintainer: String,
}

/// One package, and the directory in which its files are laid out.
struct Package {
    name: &'static str,
    stage: PathBuf,
}

impl Package {
    fn build(&self, tree: &Path, release: &Release, stanza: &str, control: &str) -> Result<PathBuf> {
        dist::remove_tree(&self.stage)?;
        for file in dist::list(tree)?.iter().filter(|file| self.holds(file)) {
            self.place(&tree.join(file), &file.to_string_lossy())?;
        }
        self.own_files(release)?;
        let programs = self.strip()?;
        self.control(release, stanza, &dependencies(control, self.name, &self.stage, &programs)?)?;
        let Release { version, architecture, .. } = release;
        let path = directory().join(format!("{}_{version}_{architecture}.deb", self.name));
        let mut dpkg = Command::new("dpkg-deb");
        dpkg.env("SOURCE_DATE_EPOCH", &release.epoch);
        host::output(dpkg.args(["--root-owner-group", "--build"]).arg(&self.stage).arg(&path))?;
        Ok(path)
    }

    fn holds(&self, file: &Path) -> bool {
        let ends = |names: &[&str]| names.iter().any(|name| file.ends_with(name));
        !ends(&LEFT_OUT) && ends(&MODULE_FILES) == (self.name == MODULE)
    }

    /// What the dist tree has not got: Debian's own files.
    fn own_files(&self, release: &Release) -> Result<()> {
        let doc = format!("usr/share/doc/{}", self.name);
        self.place(&templates().join("copyright"), &format!("{doc}/copyright"))?;
        self.place(&paths::repository().join("CHANGELOG.md"), &format!("{doc}/changelog"))?;
        self.write(&format!("{doc}/changelog.Debian"), changelog(release)?.as_bytes(), 0o644)?;
        let mut compressed = vec![format!("{doc}/changelog"), format!("{doc}/changelog.Debian")];
        if self.name == MODULE {
            self.place(&templates().join("nsswitch"), "usr/libexec/libnss-mesher/nsswitch")?;
        } else {
            self.place(&paths::repository().join("units/config.toml"), "usr/share/data-mesher/config.toml")?;
        }
        let manuals = dist::list(&self.stage)?.into_iter().filter(|file| file.starts_with("usr/share/man"));
        compressed.extend(manuals.map(|file| file.to_string_lossy().into_owned()));
        let mut gzip = Command::new("gzip");
        host::output(
            gzip.current_dir(&self.stage).args(["--best", "--no-name", "--force"]).args(compressed),
        )?;
        Ok(())
    }

    /// Strips the programs and libraries of what a debugger wants. Returns them, relative to the stage.
    fn strip(&self) -> Result<Vec<PathBuf>> {
        let elf = |file: &PathBuf| {
            fs::read(self.stage.join(file)).is_ok_and(|content| content.starts_with(b"\x7fELF"))
        };
        let programs: Vec<PathBuf> = dist::list(&self.stage)?.into_iter().filter(elf).collect();
        let mut strip = Command::new("strip");
        strip.current_dir(&self.stage).args([
            "--strip-unneeded",
            "--remove-section=.comment",
            "--remove-section=.note",
        ]);
        host::output(strip.args(&programs))?;
        Ok(programs)
    }

    /// The directory `DEBIAN`: the control file, the checksums, and the scripts that dpkg runs.
    fn control(&self, release: &Release, stanza: &str, dependencies: &str) -> Result<()> {
        let size = host::output(Command::new("du").args(["-k", "-s", "--apparent-size"]).arg(&self.stage))?;
        let size = size.split_whitespace().next().unwrap_or_default();
        let Release { version, architecture, maintainer, .. } = release;
        let mut text = String::new();
        for line in stanza.lines() {
            match line.split_once(": ") {
                Some(("Package", name)) => {
                    text += &format!("Package: {name}\nSource: {DAEMON}\nVersion: {version}\n");
                    text +=
                        &format!("Maintainer: {maintainer}\nInstalled-Size: {size}\nPriority: optional\n");
                }
                Some(("Architecture", _)) => text += &format!("Architecture: {architecture}\n"),
                _ => text += &format!("{line}\n"),
            }
        }
        let text = text.replace("${binary:Version}", version).replace("${shlibs:Depends}", dependencies);
        self.write("DEBIAN/control", text.as_bytes(), 0o644)?;
        if self.name == MODULE {
            // The loader's cache of libraries.
            self.write("DEBIAN/triggers", b"activate-noawait ldconfig\n", 0o644)?;
        }
        for script in ["preinst", "postinst", "prerm", "postrm"] {
            let source = templates().join(format!("{}.{script}", self.name));
            if source.is_file() {
                let content = fs::read(&source).with_context(|| format!("reading {}", source.display()))?;
                self.write(&format!("DEBIAN/{script}"), &content, 0o755)?;
            }
        }
        let files: Vec<PathBuf> =
            dist::list(&self.stage)?.into_iter().filter(|file| !file.starts_with("DEBIAN")).collect();
        // What lies in /etc is the administrator's to change, and dpkg asks before it is replaced.
        let (settings, files): (Vec<PathBuf>, Vec<PathBuf>) =
            files.into_iter().partition(|file| file.starts_with("etc"));
        if !settings.is_empty() {
            let list: String = settings.iter().map(|file| format!("/{}\n", file.display())).collect();
            self.write("DEBIAN/conffiles", list.as_bytes(), 0o644)?;
        }
        let sums = host::output(Command::new("md5sum").current_dir(&self.stage).arg("--").args(&files))?;
        self.write("DEBIAN/md5sums", sums.as_bytes(), 0o644)
    }

    fn place(&self, source: &Path, target: &str) -> Result<()> {
        let content = fs::read(source).with_context(|| format!("reading {}", source.display()))?;
        let mode = fs::metadata(source)?.permissions().mode();
        self.write(target, &content, if mode & 0o111 == 0 { 0o644 } else { 0o755 })
    }

    fn write(&self, target: &str, content: &[u8], mode: u32) -> Result<()> {
        let path = self.stage.join(target);
        let mut directory = path.parent().context("a packaged file has a directory")?;
        fs::create_dir_all(directory).with_context(|| format!("creating {}", directory.display()))?;
        // Whatever the builder's umask is.
        while directory.starts_with(&self.stage) {
            fs::set_permissions(directory, fs::Permissions::from_mode(0o755))?;
            directory = directory.parent().context("the stage is not the root")?;
        }
        fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))
            .with_context(|| format!("setting the mode of {}", path.display()))
    }
}

/// Where the packages are built.
pub(crate) fn directory() -> PathBuf {
    paths::target().join("deb")
}

fn templates() -> PathBuf {
    paths::repository().join("packaging/debian")
}

/// A package's part of the control file.
fn stanza<'a>(control: &'a str, name: &str) -> Result<&'a str> {
    let named = |part: &&str| field(part, "Package") == Some(name);
    control.split("\n\n").find(named).with_context(|| format!("packaging/debian/control has no {name}"))
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// What the programs need of the C library, in dpkg's own words. It reads them from a source package, so it gets one.
fn dependencies(control: &str, name: &str, stage: &Path, programs: &[PathBuf]) -> Result<String> {
    let source = directory().join("source");
    fs::create_dir_all(source.join("debian")).context("creating a source package")?;
    fs::write(source.join("debian/control"), control).context("writing a source package")?;
    let mut shlibdeps = Command::new("dpkg-shlibdeps");
    shlibdeps.current_dir(&source).args(["-O", &format!("-p{name}")]);
    shlibdeps.args(programs.iter().map(|program| stage.join(program)));
    let said = host::output(&mut shlibdeps)?;
    let depends = said.lines().find_map(|line| line.split_once(":Depends=")).map(|(_, depends)| depends);
    Ok(depends.with_context(|| format!("dpkg-shlibdeps said {said:?}"))?.to_owned())
}

fn changelog(release: &Release) -> Result<String> {
    let Release { version, epoch, maintainer, .. } = release;
    let mut date = Command::new("date");
    date.env("LC_ALL", "C").args(["--utc", "--rfc-email", &format!("--date=@{epoch}")]);
    let date = host::output(&mut date)?;
    Ok(format!(
        "{DAEMON} ({version}) unstable; urgency=medium\n\n  * What is new: changelog.gz.\n\n -- {maintainer}  {date}"
    ))
}
