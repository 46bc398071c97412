//! Looking at regions through read-only mappings: nothing here can change a running stream.

mod control;
mod events;
mod header_report;
mod inspector;
mod listing;
mod notice;
mod outline;
mod pieces;
mod site;
mod slots;
mod state;
mod tap;

pub use control::{ControlTap, SeenControl, SeenControls};
pub use events::{RegionChange, RegionEvent, RegionEvents};
pub use header_report::{HeaderField, HeaderReport};
pub use inspector::{ControlFill, Inspector, PeekedMsg};
pub use listing::{Listed, RegionKind, list, list_matching};
pub use outline::{FrameOutline, StreamPart};
pub use pieces::FramePieces;
pub use slots::{SlotBrief, SlotContent, SlotState, SlotView};
pub use state::ServerState;
pub use tap::{Tap, TapOptions};
