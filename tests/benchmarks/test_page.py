"""Results on disk and docs/benchmarks.md, which is rendered from them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import machine, page, plots
from benchmarks.machine import Provenance
from benchmarks.registry import BENCHMARKS
from benchmarks.result import BenchmarkError, Result
from benchmarks.store import Measured, read, save

HERE = Provenance("Some CPU", 4, "abc123", "2026-01-02", {"numpy": "2.3"})


def toy(method: str, case: str = "all", metric: str = "F1", value: float | None = 0.75, **more: object) -> Result:
    return replace(Result("toy", case, method, metric, value, "", 1), **more)  # type: ignore[arg-type]


def measured(*results: Result) -> Measured:
    return Measured("toy", {each.method: HERE for each in results}, results)


def test_the_page_is_what_the_results_render_to() -> None:
    text = page.render(page.all_measured(), page.TEMPLATE.read_text(encoding="utf-8"))
    assert page.PAGE.read_text(encoding="utf-8") == text, "run python -m benchmarks docs"


def test_every_plot_of_the_page_is_there_and_every_set_has_its_place() -> None:
    text = page.TEMPLATE.read_text(encoding="utf-8")
    assert set(plots.PANELS) <= set(BENCHMARKS)
    for name in plots.PANELS:
        assert f"{{{{{name}}}}}" in text
        assert f"(plots/{name}.svg)" in text
        assert (plots.FOLDER / f"{name}.svg").is_file()


def test_a_target_is_shown_with_its_direction() -> None:
    results = [
        toy("forewarn", metric="a", value=0.75, target=0.8, met=False),
        toy("forewarn", metric="b", value=3.0, target=5.0, met=True),
        toy("forewarn", metric="c", value=None, target=5.0, met=False),
    ]
    text = page.render({"toy": measured(*results)}, "{{toy}}")
    assert "| all | a | 0.75 | ≥ 0.8 | **missed** |" in text
    assert "| all | b | 3 | ≤ 5 | met |" in text
    assert "| all | c | – | 5 | **missed** |" in text  # noqa: RUF001


def test_methods_stand_in_rows_ours_first_and_bold() -> None:
    results = [toy("max |z|"), toy("LOF", value=None), toy("forewarn"), toy("X", "all", "did not finish", None)]
    text = page.render({"toy": measured(*results)}, "{{toy}}")
    assert text.startswith(
        "| all | F1 |\n| --- | --- |\n| **forewarn** | **0.75** |\n| LOF | – |\n| max \\|z\\| | 0.75 |\n"  # noqa: RUF001
    )
    assert "Did not finish in bounded time: X (all)." in text
    assert text.endswith("- Measured 2026-01-02 at `abc123` on Some CPU (4 cores) with numpy 2.3.\n")


def test_many_cases_make_rows_of_the_best_peers() -> None:
    names = ["forewarn", "PCA-T2", "PCA-Q", "LOF", "KNN", "ECOD", "COPOD"]
    results = [toy(name, f"fault {case}", value=float(rank)) for rank, name in enumerate(names) for case in range(10)]
    text = page.render({"toy": measured(*results)}, "{{toy}}")
    assert "| case | forewarn | PCA-Q | LOF | KNN | ECOD | COPOD |" in text
    assert "| fault 9 | 0 | 2 | 3 | 4 | 5 | 6 |" in text


def test_results_without_a_place_come_last_and_a_place_without_results_says_so() -> None:
    text = page.render({"toy": measured(toy("forewarn"))}, "# All\n\n{{other}}\n")
    assert text.startswith("# All\n\nNot measured yet.\n\n## toy\n\n| all | F1 |")


def test_saving_keeps_the_methods_that_were_not_measured_again(tmp_path: Path) -> None:
    save("toy", [toy("forewarn", value=0.5), toy("LOF", value=0.4), toy("LOF", metric="old")], HERE, tmp_path)
    later = replace(HERE, commit="def456")
    path = save("toy", [toy("LOF", value=0.6), toy("KNN", value=0.7)], later, tmp_path)
    kept = read(path)
    assert [(each.method, each.value) for each in kept.results] == [("forewarn", 0.5), ("LOF", 0.6), ("KNN", 0.7)]
    assert [kept.provenance[name].commit for name in ("forewarn", "LOF", "KNN")] == ["abc123", "def456", "def456"]
    before = path.read_bytes()
    save("toy", kept.results[1:], later, tmp_path)
    assert path.read_bytes() == before


def test_a_part_that_is_measured_again_keeps_the_rest_and_says_with_what_each_was(tmp_path: Path) -> None:
    save("toy", [toy("forewarn", "a"), toy("forewarn", "b"), toy("LOF", "b")], HERE, tmp_path)
    later, last = replace(HERE, commit="def456"), replace(HERE, commit="fed987")
    path = save("toy", [toy("forewarn", "b", value=0.5), toy("forewarn", "c")], later, tmp_path, parts=True)
    kept = read(path)
    assert [(each.method, each.case, each.value) for each in kept.results] == [
        ("forewarn", "a", 0.75), ("forewarn", "b", 0.5), ("forewarn", "c", 0.75), ("LOF", "b", 0.75),
    ]
    assert [kept.source(each).commit for each in kept.results] == ["abc123", "def456", "def456", "abc123"]
    text = page.render({"toy": kept}, "{{toy}}")
    assert "`abc123` on Some CPU (4 cores) with numpy 2.3: forewarn, LOF." in text
    assert "`def456` on Some CPU (4 cores) with numpy 2.3: forewarn (b), forewarn (c)." in text
    save("toy", [toy("forewarn", "b", value=0.25)], last, tmp_path)
    commits = {name: each.commit for name, each in read(path).provenance.items()}
    assert commits == {"forewarn": "fed987", "LOF": "abc123"}


@pytest.mark.parametrize(
    "text", ["", "[]", '{"benchmark": "x"}', '{"benchmark": "x", "measured": {"a": 1}, "results": []}']
)
def test_a_file_that_holds_no_results_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "toy.json"
    path.write_text(text)
    with pytest.raises(BenchmarkError, match="no file of results"):
        read(path)


def test_the_plots_do_not_change_when_drawn_again(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pip install 'forewarn[bench]'")
    case, metric = plots.PANELS["tep"][0]
    results = {"tep": measured(toy("forewarn", case, metric, 96.0, target=97.0, met=False), toy("LOF", case, metric))}
    plots.draw(results, tmp_path)
    first = (tmp_path / "tep.svg").read_bytes()
    plots.draw(results, tmp_path)
    assert (tmp_path / "tep.svg").read_bytes() == first
    assert b"forewarn" in first


def test_where_it_was_measured_is_found_out(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n")
    assert machine.cpu_model(cpuinfo) == "Some CPU @ 2 GHz"
    assert machine.cpu_model(tmp_path / "none") != ""
    assert machine.commit(tmp_path) == "unknown"
    assert "numpy" in machine.package_versions()
