# From llvm-cov's lcov export to a table of our files and one closing line; exits 1 below `min` per cent.
# Left out: files of others, test and benchmark files and a file's own `mod tests { … }`, which would count as code that
# is run by tests, and main.rs, which only starts a process that tests then kill before it writes its profile.
# Variables: root, min, table (the file to write the table to).

function row(name, lines, missed) {
  printf "%-60s %7d %7d %7.2f %%\n", name, lines, missed, 100 * (lines - missed) / lines > table
}

function find_tests(file,    line, number, inside) {
  split("", is_test)
  while ((getline line < file) > 0) {
    number++
    if (line == "mod tests {") inside = 1
    if (inside) is_test[number] = 1
    if (line == "}") inside = 0
  }
  close(file)
}

# Empty for a file that does not count, else its path below the root.
function ours(file,    path) {
  if (index(file, root "/") != 1) return ""
  path = substr(file, length(root) + 2)
  return path ~ /(^|\/)(target|tests|benches)\/|(^|\/)(main|tests)\.rs$/ ? "" : path
}

BEGIN { printf "%-60s %7s %7s %9s\n", "file", "lines", "missed", "run" > table }

/^SF:/ {
  lines = missed = 0
  path = ours(substr($0, 4))
  if (path != "") find_tests(root "/" path)
}

/^DA:/ && path != "" {
  split(substr($0, 4), count, ",")
  if (!(count[1] in is_test)) {
    lines++
    if (count[2] == 0) missed++
  }
}

/^end_of_record/ && lines > 0 {
  row(path, lines, missed)
  all_lines += lines
  all_missed += missed
}

END {
  if (all_lines == 0) {
    print "no coverage was measured"
    exit 1
  }
  row("total", all_lines, all_missed)
  percent = 100 * (all_lines - all_missed) / all_lines
  printf "%.2f %% of %d lines are run by tests, %d %% wanted; by file: %s\n", percent, all_lines, min, table
  exit percent < min
}
