from livemef.tools.progress import progress_printer


def test_of_many_lines_one_is_printed_each_period(capsys):
    on_progress = progress_printer(period_s=3600)
    for index in range(5):
        on_progress(f"line {index}")
    assert capsys.readouterr().err == "livemef: line 0\n"


def test_without_a_period_every_line_is_printed(capsys):
    on_progress = progress_printer(period_s=0)
    for index in range(3):
        on_progress(f"line {index}")
    assert len(capsys.readouterr().err.splitlines()) == 3
