//! Which filesystems belong to this kernel alone.
//!
//! Source: the magic numbers of include/uapi/linux/magic.h. A filesystem that is not on the
//! list of local ones may be shared with another kernel, whose processes no /proc here shows.

/// A filesystem, as statfs(2) names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filesystem {
    /// `f_type`.
    pub magic: u64,
}

/// Filesystems that one kernel mounts at a time.
const LOCAL: &[(u64, &str)] = &[
    (0xEF53, "ext4"),
    (0x5846_5342, "xfs"),
    (0x9123_683E, "btrfs"),
    (0x0102_1994, "tmpfs"),
    (0x794C_7630, "overlay"),
    (0x2FC1_2FC1, "zfs"),
    (0xF2F5_2010, "f2fs"),
    (0xCA45_1A4E, "bcachefs"),
    (0x8584_58F6, "ramfs"),
    (0x3153_464A, "jfs"),
    (0x3434, "nilfs2"),
    (0x4D44, "vfat"),
    (0x2011_BAB0, "exfat"),
    (0x7371_7368, "squashfs"),
    (0xE0F5_E1E2, "erofs"),
];

/// Filesystems of the kernel itself, which hold no files: proc, sysfs, cgroup and cgroup2, devpts.
const KERNELS: &[u64] = &[0x9FA0, 0x6265_6572, 0x0027_E0EB, 0x6367_7270, 0x1CD1];

/// Filesystems that are known to be shared, for their names only. Whatever a FUSE server answers for,
/// virtiofs too, has the magic of FUSE (`FUSE_SUPER_MAGIC` of fs/fuse/inode.c).
const SHARED: &[(u64, &str)] = &[
    (0x6969, "nfs"),
    (0x6573_5546, "fuse"),
    (0x0102_1997, "9p"),
    (0xFF53_4D42, "cifs"),
    (0xFE53_4D42, "smb2"),
    (0x517B, "smb"),
    (0x00C3_6400, "ceph"),
    (0x0BD0_0BD0, "lustre"),
    (0x0116_1970, "gfs2"),
    (0x7461_636F, "ocfs2"),
    (0x5346_414F, "afs"),
    (0x786F_4256, "vboxsf"),
];

/// What has FUSE's magic and a name of its own in the mount table.
const SERVED: &[&str] = &[
    "virtiofs",
    "fuseblk",
    "fuse.glusterfs",
    "fuse.mergerfs",
    "fuse.overlayfs",
    "fuse.rclone",
    "fuse.s3fs",
    "fuse.shfs",
    "fuse.sshfs",
];

impl Filesystem {
    /// Whether it is one of the kernel's own, in which nobody keeps a lock.
    #[must_use]
    pub fn is_kernels(self) -> bool {
        KERNELS.contains(&self.magic)
    }

    /// Whether only processes of this kernel can reach it.
    #[must_use]
    pub fn is_local(self) -> bool {
        LOCAL.iter().any(|(magic, _)| *magic == self.magic)
    }

    /// Whether a removed directory that is held open shows a link count of 0.
    #[must_use]
    pub fn drops_links_of_removed(self) -> bool {
        matches!(self.magic, 0xEF53 | 0x5846_5342 | 0x0102_1994 | 0x794C_7630)
    }

    /// Whether it lives in memory and was born when it was mounted.
    #[must_use]
    pub fn is_tmpfs(self) -> bool {
        self.magic == 0x0102_1994
    }

    /// Whether it is made of the files of other filesystems.
    #[must_use]
    pub fn is_overlay(self) -> bool {
        self.magic == 0x794C_7630
    }

    /// Whether it is procfs (`PROC_SUPER_MAGIC`), which no user-space server can imitate.
    #[must_use]
    pub fn is_procfs(self) -> bool {
        self.magic == 0x9FA0
    }

    /// Its name; `kind` is what the mount table calls it, which tells those apart that FUSE serves.
    #[must_use]
    pub fn name_as(self, kind: Option<&str>) -> String {
        let served = SERVED.iter().find(|served| self.name() == "fuse" && kind == Some(**served));
        served.map_or_else(|| self.name(), |served| (*served).to_owned())
    }

    /// Its name, or its number in hexadecimal.
    #[must_use]
    pub fn name(self) -> String {
        let known = LOCAL.iter().chain(SHARED).find(|(magic, _)| *magic == self.magic);
        known.map_or_else(|| format!("{:#x}", self.magic), |(_, name)| (*name).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filesystem_that_nobody_listed_is_not_local() {
        for magic in SHARED.iter().map(|(magic, _)| *magic).chain([0, 0x1234, u64::MAX]) {
            assert!(!Filesystem { magic }.is_local(), "{magic:#x}");
        }
        assert_eq!(Filesystem { magic: 0x1234 }.name(), "0x1234");
    }

    #[test]
    fn what_fuse_serves_is_named_as_it_is_mounted_and_a_strangers_name_for_it_is_not_shown() {
        let (fuse, ext4) = (Filesystem { magic: 0x6573_5546 }, Filesystem { magic: 0xEF53 });
        assert_eq!(fuse.name_as(Some("virtiofs")), "virtiofs");
        assert_eq!(fuse.name_as(Some("fuse.of-a-stranger")), "fuse");
        assert_eq!(fuse.name_as(None), "fuse");
        assert_eq!(ext4.name_as(Some("virtiofs")), "ext4");
        assert_eq!(Filesystem { magic: 0x786F_4256 }.name(), "vboxsf");
    }
}
