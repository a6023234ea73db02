from livemef.tools.progress import now_and_then


def test_of_many_lines_one_is_said_each_period(capsys):
    told = now_and_then(period_s=3600)
    for index in range(5):
        told(f"line {index}")
    assert capsys.readouterr().err == "livemef: line 0\n"


def test_without_a_period_every_line_is_said(capsys):
    told = now_and_then(period_s=0)
    for index in range(3):
        told(f"line {index}")
    assert len(capsys.readouterr().err.splitlines()) == 3
