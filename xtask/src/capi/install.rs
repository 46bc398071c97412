//! `cargo xtask install`: libraries, headers, CMake and pkg-config packages, the command with its manual pages and
//! completions, under a prefix.

use crate::interop::{output, strip};
use crate::step::cargo;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

const INCLUDE: &str = "crates/shmx-capi/include";
/// The list of what was installed.
pub(super) const MANIFEST: &str = "share/shmx/installed.txt";
const SONAME: &str = "libshmx.so.0";

/// Libraries that a program needs beside the static one.
const PRIVATE: &str = "-lpthread -ldl -lm";

pub(super) struct Prefix {
    /// As programs will find it.
    prefix: PathBuf,
    /// Where the files go: below `DESTDIR`, if it is set.
    root: PathBuf,
    files: Vec<String>,
}

impl Prefix {
    pub(super) fn new(prefix: &Path) -> Result<Self> {
        let destdir = std::env::var_os("DESTDIR").filter(|d| !d.is_empty());
        Self::at(prefix, destdir.as_deref().map(Path::new))
    }

    pub(super) fn at(prefix: &Path, destdir: Option<&Path>) -> Result<Self> {
        let prefix = std::path::absolute(prefix)?;
        let root = match destdir {
            Some(dir) => std::path::absolute(dir)?.join(prefix.strip_prefix("/").unwrap_or(&prefix)),
            None => prefix.clone(),
        };
        Ok(Self { prefix, root, files: Vec::new() })
    }

    /// Where a file goes, whose folder is there then.
    fn place(&mut self, file: &str) -> Result<PathBuf> {
        let path = self.root.join(file);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        }
        self.files.push(file.to_owned());
        Ok(path)
    }

    fn copy(&mut self, from: &Path, file: &str) -> Result<PathBuf> {
        let to = self.place(file)?;
        // A running program may have the old file mapped.
        let _ = fs::remove_file(&to);
        fs::copy(from, &to).with_context(|| format!("copy {} to {}", from.display(), to.display()))?;
        Ok(to)
    }

    fn write(&mut self, file: &str, text: &str) -> Result<()> {
        fs::write(self.place(file)?, text).with_context(|| format!("write {file}"))
    }

    #[cfg(unix)]
    fn link(&mut self, to: &str, file: &str) -> Result<()> {
        let path = self.place(file)?;
        let _ = fs::remove_file(&path);
        std::os::unix::fs::symlink(to, &path).with_context(|| format!("link {file}"))
    }

    #[cfg(not(unix))]
    fn link(&mut self, _: &str, _: &str) -> Result<()> {
        Ok(())
    }

    /// Everything.
    pub(super) fn install(mut self, target: &Path, version: &str) -> Result<()> {
        ensure!(cfg!(target_os = "linux"), "installing is written for Linux; see docs/cpp.md for Windows");
        // Each by itself: together they share features, and the command would be built once more for those of the library.
        for package in ["shmx-capi", "shmx-cli"] {
            let mut build = cargo(&["build", "--release", "-p", package]);
            // Incremental builds are larger.
            ensure!(build.env("CARGO_INCREMENTAL", "0").status()?.success(), "{package} cannot be built");
        }
        let release = target.join("release");
        self.libraries(&release, version)?;
        for file in ["shmx.h", "shmx.hpp"] {
            self.copy(&Path::new(INCLUDE).join(file), &format!("include/{file}"))?;
        }
        for file in ["shmx_common.h", "shmx_server.h", "shmx_client.h", "shmx_inspector.h"] {
            self.copy(&Path::new(INCLUDE).join("shmx/compat").join(file), &format!("include/shmx/compat/{file}"))?;
        }
        self.write("lib/pkgconfig/shmx.pc", &pkg_config(version))?;
        self.write("lib/cmake/shmx/shmxConfig.cmake", &cmake_config(version))?;
        self.write("lib/cmake/shmx/shmxConfigVersion.cmake", &cmake_version(version))?;
        self.command(&release.join("shmx"))?;
        self.copy(Path::new("LICENSE"), "share/doc/shmx/LICENSE")?;
        self.files.push(MANIFEST.to_owned());
        let list: String = self.files.iter().map(|f| format!("{}\n", self.prefix.join(f).display())).collect();
        self.files.pop();
        self.write(MANIFEST, &list)?;
        println!("   {} files under {}, listed in {MANIFEST}", self.files.len(), self.root.display());
        Ok(())
    }

    fn libraries(&mut self, release: &Path, version: &str) -> Result<()> {
        let shared = self.copy(&release.join("libshmx_capi.so"), &format!("lib/libshmx.so.{version}"))?;
        let archive = self.copy(&release.join("libshmx_capi.a"), "lib/libshmx.a")?;
        // Without `strip` it is only larger.
        let _ = output(Command::new("strip").arg("--strip-unneeded").arg(shared));
        if let Err(e) = localise(&archive) {
            println!("   libshmx.a shows symbols of Rust, which two libraries of Rust in one program share: {e:#}");
        }
        self.link(&format!("libshmx.so.{version}"), &format!("lib/{SONAME}"))?;
        self.link(SONAME, "lib/libshmx.so")
    }

    fn command(&mut self, shmx: &Path) -> Result<()> {
        let installed = self.copy(shmx, "bin/shmx")?;
        let _ = strip(&installed);
        let pages = self.root.join("share/man/man1");
        output(Command::new(shmx).args(["man", "--dir"]).arg(&pages))?;
        for entry in fs::read_dir(&pages)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.starts_with("shmx") {
                self.files.push(format!("share/man/man1/{name}"));
            }
        }
        self.files.sort();
        let shells = [
            ("bash", "share/bash-completion/completions/shmx"),
            ("zsh", "share/zsh/site-functions/_shmx"),
            ("fish", "share/fish/vendor_completions.d/shmx.fish"),
        ];
        for (shell, file) in shells {
            let script = output(Command::new(shmx).args(["completions", shell]))?;
            self.write(file, &script)?;
        }
        Ok(())
    }

    /// Removes what the list names, and folders that are empty then.
    pub(super) fn uninstall(self) -> Result<()> {
        let list = self.root.join(MANIFEST);
        let text = fs::read_to_string(&list).with_context(|| format!("read {}", list.display()))?;
        for file in text.lines() {
            let below = Path::new(file).strip_prefix(&self.prefix);
            let below = below.ok().filter(|p| p.components().all(|c| matches!(c, Component::Normal(_))));
            let Some(below) = below else { bail!("{file} is not of this prefix") };
            let path = self.root.join(below);
            if path.symlink_metadata().is_ok() {
                fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
            }
            for folder in path.ancestors().skip(1).take_while(|f| *f != self.root) {
                if fs::remove_dir(folder).is_err() {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// Leaves one object in the archive, of which only the interface is visible: a program may hold other archives made by
/// Rust, of other versions.
fn localise(archive: &Path) -> Result<()> {
    let (whole, new) = (archive.with_extension("o"), archive.with_extension("new"));
    let made = || -> Result<()> {
        output(Command::new("ld").args(["-r", "--whole-archive"]).arg(archive).arg("-o").arg(&whole))?;
        // The bitcode of Rust's own library upsets tools that know another version of it.
        let rest = ["--strip-debug", "--remove-section=.llvmbc", "--remove-section=.llvmcmd"];
        output(Command::new("objcopy").args(["--wildcard", "--keep-global-symbol=shmx_*"]).args(rest).arg(&whole))?;
        output(Command::new("ar").arg("rcs").arg(&new).arg(&whole))?;
        fs::rename(&new, archive).with_context(|| format!("replace {}", archive.display()))
    };
    let done = made();
    for rest in [&whole, &new] {
        let _ = fs::remove_file(rest);
    }
    done
}

fn pkg_config(version: &str) -> String {
    format!(
        "# Relocatable: paths follow from where this file lies.\n\
         prefix=${{pcfiledir}}/../..\n\
         libdir=${{prefix}}/lib\n\
         includedir=${{prefix}}/include\n\
         \n\
         Name: shmx\n\
         Description: Frames of typed streams between processes through named shared memory\n\
         Version: {version}\n\
         Libs: -L${{libdir}} -lshmx\n\
         Libs.private: {PRIVATE}\n\
         Cflags: -I${{includedir}}\n"
    )
}

fn cmake_config(version: &str) -> String {
    let private = PRIVATE.replace("-l", "").replace(' ', ";");
    format!(
        "# shmx::shmx, shmx::static, and shmx::compat for programs written against the original headers.\n\
         # Relocatable: paths follow from where this file lies.\n\
         get_filename_component(_shmx_prefix \"${{CMAKE_CURRENT_LIST_DIR}}/../../..\" ABSOLUTE)\n\
         if(NOT TARGET shmx::shmx)\n\
         \x20 add_library(shmx::shmx SHARED IMPORTED)\n\
         \x20 set_target_properties(shmx::shmx PROPERTIES\n\
         \x20   IMPORTED_LOCATION \"${{_shmx_prefix}}/lib/libshmx.so.{version}\"\n\
         \x20   IMPORTED_SONAME \"{SONAME}\"\n\
         \x20   INTERFACE_INCLUDE_DIRECTORIES \"${{_shmx_prefix}}/include\")\n\
         endif()\n\
         if(NOT TARGET shmx::static)\n\
         \x20 add_library(shmx::static STATIC IMPORTED)\n\
         \x20 set_target_properties(shmx::static PROPERTIES\n\
         \x20   IMPORTED_LOCATION \"${{_shmx_prefix}}/lib/libshmx.a\"\n\
         \x20   INTERFACE_LINK_LIBRARIES \"{private}\"\n\
         \x20   INTERFACE_INCLUDE_DIRECTORIES \"${{_shmx_prefix}}/include\")\n\
         endif()\n\
         if(NOT TARGET shmx::compat)\n\
         \x20 add_library(shmx::compat INTERFACE IMPORTED)\n\
         \x20 set_target_properties(shmx::compat PROPERTIES\n\
         \x20   INTERFACE_LINK_LIBRARIES shmx::shmx\n\
         \x20   INTERFACE_INCLUDE_DIRECTORIES \"${{_shmx_prefix}}/include/shmx/compat\")\n\
         endif()\n\
         unset(_shmx_prefix)\n"
    )
}

/// Before 1.0 a minor version may break.
fn cmake_version(version: &str) -> String {
    let series = version.rsplit_once('.').map_or(version, |(series, _)| series);
    format!(
        "set(PACKAGE_VERSION \"{version}\")\n\
         set(PACKAGE_VERSION_COMPATIBLE FALSE)\n\
         set(PACKAGE_VERSION_EXACT FALSE)\n\
         if(PACKAGE_FIND_VERSION STREQUAL PACKAGE_VERSION)\n\
         \x20 set(PACKAGE_VERSION_EXACT TRUE)\n\
         endif()\n\
         if(\"${{PACKAGE_FIND_VERSION_MAJOR}}.${{PACKAGE_FIND_VERSION_MINOR}}\" STREQUAL \"{series}\"\n\
         \x20  AND NOT PACKAGE_FIND_VERSION VERSION_GREATER PACKAGE_VERSION)\n\
         \x20 set(PACKAGE_VERSION_COMPATIBLE TRUE)\n\
         endif()\n"
    )
}
