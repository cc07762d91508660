// Package gso holds the segment arithmetic of super-packets: it cuts one
// into the packets it stands for (Cursor), joins packets of a flow into one
// (Coalescer), finishes checksums that were left to the device (Complete) and
// lowers the segment size that TCP peers announce (ClampMSS).
//
// The kernel names the two directions generic segmentation offload (GSO) and
// generic receive offload (GRO); what is done to the headers here is what the
// kernel does there. It speaks TCP and UDP directly over IPv4 or IPv6; of
// anything else it leaves the bytes as they are.
//
// The package is pure: no goroutine, lock, socket or clock, and no allocation
// for a packet once its tables have grown.
package gso
