package sysio

// FileSystem is what a journal must know of the file system that a directory lies on.
type FileSystem struct {
	Name  string // as a person would say it; "type 0x…" if it is not in the table, "" if unknown
	Class FileSystemClass
}

// FileSystemClass says what mapped files can rely on.
type FileSystemClass uint8

// Classes of file systems.
const (
	Unknown     FileSystemClass = iota // nothing is known
	Local                              // stores into mappings and syncs keep what POSIX promises
	Memory                             // as Local, and gone with the power
	CopyOnWrite                        // an allocated file may still find no room when it is overwritten
	Stacked                            // as good as what is beneath, which cannot be told from here
	Remote                             // other machines, or a server in user space, decide
)

// fileSystems is what is known by the magic numbers of statfs(2).
var fileSystems = map[uint32]FileSystem{
	0x0000EF53: {"ext4", Local}, // ext2 and ext3 too
	0x58465342: {"xfs", Local},
	0xF2F52010: {"f2fs", Unknown},
	0x01021994: {"tmpfs", Memory},
	0x858458F6: {"ramfs", Memory},
	0x9123683E: {"btrfs", CopyOnWrite},
	0x2FC12FC1: {"zfs", CopyOnWrite},
	0xCA451A4E: {"bcachefs", CopyOnWrite},
	0x794C7630: {"overlayfs", Stacked},
	0x00006969: {"nfs", Remote},
	0x0000517B: {"smb", Remote},
	0xFF534D42: {"cifs", Remote},
	0xFE534D42: {"smb2", Remote},
	0x01021997: {"9p", Remote},
	0x00C36400: {"ceph", Remote},
	0x5346414F: {"afs", Remote},
	0x65735546: {"fuse", Remote},
	0x6A656A63: {"virtiofs", Remote},
	0x00004D44: {"vfat", Unknown},
	0x2011BAB0: {"exfat", Unknown},
	0x5346544E: {"ntfs", Unknown},
}
