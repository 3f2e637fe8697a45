"""Prints what each benchmark found beside its timings: the ratios and sizes in `extra_info`."""


def pytest_terminal_summary(terminalreporter, config):
    session = getattr(config, "_benchmarksession", None)
    found = [bench for bench in getattr(session, "benchmarks", []) if bench.extra_info]
    if found:
        terminalreporter.section("what the benchmarks found")
    for bench in found:
        terminalreporter.write_line(bench.name)
        for name, value in bench.extra_info.items():
            shown = f"{value:.4g}" if isinstance(value, float) else value
            terminalreporter.write_line(f"    {name}: {shown}")
