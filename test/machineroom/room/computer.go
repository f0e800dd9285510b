package room

import "context"

// Computer is the part of a machine that runs on this computer: its disk and what boots from it.
// A Machine makes one call at a time, On excepted, which may come at any time. A call whose
// context ends, as it does when the power is cut, returns soon.
type Computer interface {
	// Write puts an image on the disk, with a config drive; whatever was there is gone.
	Write(ctx context.Context, image string, drive ConfigDrive) error
	// Erase removes everything from the disk.
	Erase(ctx context.Context) error
	// PowerOn boots what the disk holds. Without an image it does nothing: the caller plays the ramdisk.
	PowerOn(ctx context.Context) error
	// PowerOff asks the operating system to end and cuts the power after a while; hard cuts it at once.
	PowerOff(ctx context.Context, hard bool) error
	// On says whether an operating system runs; it may have ended by itself.
	On() (bool, error)
}

// ConfigDrive is what lies on the partition labelled config-2: files of openstack/latest/.
type ConfigDrive struct{ MetaData, UserData, NetworkData []byte }
