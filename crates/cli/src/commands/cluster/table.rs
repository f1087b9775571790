//! Aligned columns for people.

/// One line per row, each column as wide as its widest cell; a short row's last cell may run on.
pub fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        // The last cell of a short row is a remark: it widens nothing.
        let cells = rows.iter().filter(|row| row.len() == columns || column + 1 < row.len());
        cells.filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        format!("{}\n", line.trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn columns_line_up() {
        let row = |cells: &[&str]| cells.iter().map(ToString::to_string).collect::<Vec<_>>();
        let rows = [
            row(&["tracker", "up", "records"]),
            row(&["1 a:1", "2 h", "12"]),
            row(&["2 b:2", "no: it is down"]),
        ];
        expect![[r#"
            tracker  up   records
            1 a:1    2 h  12
            2 b:2    no: it is down
        "#]]
        .assert_eq(&aligned(&rows));
    }
}
