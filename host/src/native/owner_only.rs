//! Files and folders that no other user of the machine may read: databases, keys, data folders.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

/// Creates a folder and its missing parents, for the owner only. An existing folder stays as it is.
///
/// # Errors
/// When a folder cannot be created.
pub fn create_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Opens a file with these options; if that creates it, for the owner only.
///
/// # Errors
/// As [`OpenOptions::open`].
pub fn open_file(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options.open(path)
}

/// Whether other users have any rights to this file. Always false where files have no mode.
///
/// # Errors
/// When the file's mode cannot be read.
pub fn is_open_to_others(file: &File) -> io::Result<bool> {
    #[cfg(unix)]
    let is_open = std::os::unix::fs::MetadataExt::mode(&file.metadata()?) & OTHERS != 0;
    #[cfg(not(unix))]
    let is_open = file.metadata().map(|_| false)?;
    Ok(is_open)
}

/// The bits of a file's mode that give rights to the owner's group and to everybody.
#[cfg(unix)]
const OTHERS: u32 = 0o077;

/// The bit of a folder that everybody may write to, such as `/tmp`.
#[cfg(unix)]
const STICKY: u32 = 0o1000;

/// Takes all rights to a file or folder from other users, and logs a warning if they had any. A missing file is fine, and
/// so is a folder that is shared by all users, such as `/tmp`.
///
/// If the rights cannot be changed, a warning is logged: the operator may have given the file another owner on purpose.
pub fn restrict(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let Ok(metadata) = fs::metadata(path) else { return };
        let mode = metadata.permissions().mode();
        if mode & OTHERS == 0 || metadata.is_dir() && mode & STICKY != 0 {
            return;
        }
        let restricted = fs::set_permissions(path, fs::Permissions::from_mode(mode & !OTHERS));
        let path = path.display();
        match restricted {
            Ok(()) => tracing::warn!(%path, "other users of this machine had access; now only its owner has"),
            Err(error) => tracing::warn!(%path, %error, "other users of this machine have access"),
        }
    }
    #[cfg(not(unix))]
    let _ = path;
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::fs::{self, File, OpenOptions, Permissions};
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::{create_folder, is_open_to_others, open_file, restrict};

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn what_is_created_is_for_the_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let (parent, path) = (folder.path().join("a"), folder.path().join("a/b"));
        create_folder(&path).unwrap();
        assert_eq!((mode(&parent), mode(&path)), (0o700, 0o700));
        let file = open_file(OpenOptions::new().create_new(true).write(true), &path.join("file")).unwrap();
        assert_eq!(mode(&path.join("file")), 0o600);
        assert!(!is_open_to_others(&file).unwrap());
    }

    #[test]
    fn what_others_could_read_is_restricted_and_nothing_more() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        File::create(&file).unwrap();
        for (before, after) in
            [(0o644, 0o600), (0o640, 0o600), (0o777, 0o700), (0o404, 0o400), (0o600, 0o600)]
        {
            fs::set_permissions(&file, Permissions::from_mode(before)).unwrap();
            restrict(&file);
            assert_eq!(mode(&file), after, "{before:o}");
        }
        for (before, after) in [(0o755, 0o700), (0o1777, 0o1777)] {
            fs::set_permissions(folder.path(), Permissions::from_mode(before)).unwrap();
            restrict(folder.path());
            assert_eq!(mode(folder.path()), after, "{before:o}");
        }
        restrict(&folder.path().join("missing"));
    }
}
