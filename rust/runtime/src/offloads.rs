//! Doing for many packets at once what the kernel can do so.

/// Whether offloads are used: TSO, USO and checksums of the TUN device, GSO and GRO of the sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offloads {
    /// All that the kernel knows.
    #[default]
    Auto,
    /// None: packet by packet, as every kernel can.
    Off,
}
