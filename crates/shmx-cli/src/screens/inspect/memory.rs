//! The memory bar: the whole region in proportion, slot by slot.

use crate::look::{Facts, SlotFact, SlotKind, sections};
use crate::screens::theme::{Theme, glyph};
use ratatui::text::{Line, Span};

/// Letters of the sections before the slots.
pub(crate) const LETTERS: [(char, &str); 4] = [('H', "header"), ('D', "directory"), ('R', "readers"), ('C', "control")];

/// Shares `cells` out in proportion to `sizes`; whatever has a size gets at least one.
pub(crate) fn share(sizes: &[u64], cells: usize) -> Vec<usize> {
    let some = sizes.iter().filter(|&&s| s > 0).count();
    if cells <= some {
        // Not even one each: the first ones get it.
        let mut left = cells;
        let give = |&s: &u64| {
            let cell = usize::from(s > 0 && left > 0);
            left -= cell;
            cell
        };
        return sizes.iter().map(give).collect();
    }
    let total: u128 = sizes.iter().map(|&s| u128::from(s)).sum::<u128>().max(1);
    let exact = |s: u64| u128::from(s) * cells as u128;
    let mut shares: Vec<usize> =
        sizes.iter().map(|&s| if s == 0 { 0 } else { ((exact(s) / total) as usize).max(1) }).collect();
    // Take what is too much from the largest, give what is left to the largest remainder.
    while shares.iter().sum::<usize>() > cells {
        match shares.iter_mut().max() {
            Some(largest) => *largest -= 1,
            None => break,
        }
    }
    let mut order: Vec<usize> = (0..sizes.len()).filter(|&i| sizes[i] > 0).collect();
    order.sort_by_key(|&i| std::cmp::Reverse((exact(sizes[i]) % total, sizes[i])));
    let missing = cells - shares.iter().sum::<usize>();
    for &i in order.iter().cycle().take(if order.is_empty() { 0 } else { missing }) {
        shares[i] += 1;
    }
    shares
}

/// A cell of the bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    Section(usize),
    /// A slot's state, and whether the cell stands for bytes that its frame uses.
    Slot(SlotKind),
}

fn slot_cells(slots: &[SlotFact], capacity: u32, cells: usize) -> Vec<Cell> {
    let n = slots.len();
    if n > cells {
        // Several slots to a cell: the most remarkable one shows.
        let kind = |c: usize| slots[c * n / cells..((c + 1) * n / cells).min(n)].iter().map(|s| s.kind).max();
        return (0..cells).map(|c| Cell::Slot(kind(c).unwrap_or(SlotKind::Empty))).collect();
    }
    let mut all = Vec::with_capacity(cells);
    for (i, s) in slots.iter().enumerate() {
        let width = (i + 1) * cells / n - i * cells / n;
        let used = match s.kind {
            SlotKind::Empty => 0,
            SlotKind::Writing | SlotKind::Bad => width,
            _ => (u64::from(s.bytes) * width as u64).div_ceil(u64::from(capacity.max(1))) as usize,
        };
        for at in 0..width {
            let kind = match s.kind {
                // The newest one under lease shows both.
                SlotKind::Leased if s.newest && at == 0 && width > 1 => SlotKind::Newest,
                kind if at < used.min(width) => kind,
                _ => SlotKind::Empty,
            };
            all.push(Cell::Slot(kind));
        }
    }
    all
}

/// The bar in `width` cells.
pub(crate) fn bar(f: &Facts, width: usize) -> Vec<Cell> {
    let sizes: Vec<u64> = sections(f).iter().map(|s| s.2).collect();
    let shares = share(&sizes, width);
    let mut cells = Vec::with_capacity(width);
    for (i, &n) in shares.iter().take(LETTERS.len()).enumerate() {
        cells.extend(std::iter::repeat_n(Cell::Section(i), n));
    }
    cells.extend(slot_cells(&f.slots, f.layout.frame_bytes_cap(), shares[LETTERS.len()]));
    cells
}

pub(crate) fn line(cells: &[Cell], theme: Theme) -> Line<'static> {
    let spans = cells.iter().map(|c| match *c {
        Cell::Section(i) => Span::styled(LETTERS[i].0.to_string(), theme.section(i)),
        Cell::Slot(kind) => Span::styled(glyph(kind).to_string(), theme.slot(kind)),
    });
    Line::from_iter(spans)
}

/// Cells of the bar that are slots.
fn cells_of_slots(f: &Facts, width: usize) -> usize {
    let sizes: Vec<u64> = sections(f).iter().map(|s| s.2).collect();
    share(&sizes, width)[LETTERS.len()]
}

/// Whether the slots have so little room in the bar that they deserve one of their own.
pub(crate) fn is_squeezed(f: &Facts, width: usize) -> bool {
    let n = f.slots.len();
    n <= width && cells_of_slots(f, width) < (n * 4).min(width / 2)
}

/// The slots alone, over the whole width.
pub(crate) fn zoom(f: &Facts, width: usize) -> Vec<Cell> {
    slot_cells(&f.slots, f.layout.frame_bytes_cap(), width)
}

/// Numbers of the slots under their first cells, the newest one with a mark.
pub(crate) fn labels(f: &Facts, width: usize, theme: Theme) -> Line<'static> {
    let cells = if is_squeezed(f, width) { width } else { cells_of_slots(f, width) };
    let n = f.slots.len();
    let mut text = " ".repeat(width - cells);
    if n == 0 || n > cells {
        return Line::default();
    }
    for (i, s) in f.slots.iter().enumerate() {
        let room = (i + 1) * cells / n - i * cells / n;
        let mark = if s.newest { "▲" } else { "" };
        let label = format!("{}{mark}", s.index);
        let fits = label.chars().count() < room || (i + 1 == n && label.chars().count() <= room);
        let label = if fits {
            label
        } else if s.newest {
            mark.into()
        } else {
            String::new()
        };
        text.push_str(&format!("{label:<room$}"));
    }
    Line::styled(text, theme.dim())
}

/// What the signs mean, with counts, in one line or two.
pub(crate) fn legend(f: &Facts, width: usize, theme: Theme) -> Vec<Line<'static>> {
    let mut slots: Vec<Span> = Vec::new();
    for kind in SlotKind::ALL {
        let n = f.slots.iter().filter(|s| s.kind == kind).count();
        let word = if kind == SlotKind::Empty { "unused" } else { kind.word() };
        slots.push(Span::styled(glyph(kind).to_string(), theme.slot(kind)));
        slots.push(Span::raw(if kind == SlotKind::Empty { format!(" {word}") } else { format!(" {word} {n}  ") }));
    }
    let mut parts: Vec<Span> = Vec::new();
    for (i, (letter, name)) in LETTERS.iter().enumerate() {
        parts.push(Span::styled(letter.to_string(), theme.section(i)));
        parts.push(Span::styled(format!(" {name}  "), theme.dim()));
    }
    let (slots, mut parts) = (Line::from(slots), Line::from(parts));
    if slots.width() + parts.width() + 3 <= width {
        let mut one = slots;
        one.push_span(Span::raw("   "));
        parts.spans.drain(..).for_each(|s| one.push_span(s));
        return vec![one];
    }
    vec![slots, parts]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_in_proportion_and_never_forget_anything() {
        assert_eq!(share(&[128, 4096, 1024, 65536, 200_000], 80), [1, 1, 1, 19, 58]);
        assert_eq!(share(&[1, 0, 1], 10), [5, 0, 5]);
        assert_eq!(share(&[1, 1, 1_000_000], 4), [1, 1, 2]);
        assert_eq!(share(&[5, 5, 5], 2), [1, 1, 0]);
        assert_eq!(share(&[0, 0], 7), [0, 0]);
        for cells in 1..200 {
            let s = share(&[128, 4096, 1024, 65536, u64::from(u32::MAX)], cells);
            assert_eq!(s.iter().sum::<usize>(), cells);
        }
    }
}
