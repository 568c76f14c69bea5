"""What watching a video costs beside decoding it: `watch()` ÷ a bare PyAV pass over the same made clip.

Both run with two decoder threads, turn about, each in a process of its own so that the peak memory is its own. The
ratio of CPU seconds holds on a busy machine too, that of seconds only on an idle one.

    python benchmarks/video_speed.py [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "video_speed.json"
SECONDS, WIDTH, HEIGHT, FPS = 60, 1280, 720, 30


def make_clip(path: Path) -> None:
    """60 s of 720p H.264: a scene of coloured squares every 5 s, with noise, moving."""
    import av
    import numpy as np

    rng = np.random.default_rng(1)
    with av.open(path, "w") as container:
        stream: Any = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"preset": "veryfast", "crf": "23"}
        noise = rng.integers(0, 24, (HEIGHT, WIDTH + 64, 3), dtype=np.uint8)
        scene = noise[:, :WIDTH]
        for i in range(SECONDS * FPS):
            if i % (5 * FPS) == 0:
                squares = rng.integers(30, 200, (9, 16, 3), dtype=np.uint8)
                scene = np.kron(squares, np.ones((80, 80, 1), dtype=np.uint8))
            shift = int(rng.integers(64))
            picture = np.roll(scene, 2 * (i % 150), axis=1) + noise[:, shift : shift + WIDTH]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def bare(path: Path) -> dict[str, Any]:
    import av

    begin, cpu = time.perf_counter(), time.process_time()
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 2
        stream.codec_context.thread_type = "FRAME"
        pictures = sum(1 for _ in container.decode(stream))
    return {
        "seconds": time.perf_counter() - begin,
        "cpu_seconds": time.process_time() - cpu,
        "pictures": pictures,
    }


def watched(path: Path) -> dict[str, Any]:
    from vision.media import video_watch  # noqa: F401  (its import is not what is measured)
    from vision.media.video import SeenFrame, Shot, VideoLimits, watch

    begin, cpu = time.perf_counter(), time.process_time()
    with path.open("rb") as file:
        events = list(watch(file, max_frames=32, limits=VideoLimits()))
    return {
        "seconds": time.perf_counter() - begin,
        "cpu_seconds": time.process_time() - cpu,
        "pictures": getattr(events[-1], "pictures", 0),
        "frames": sum(isinstance(e, SeenFrame) for e in events),
        "shots": sum(isinstance(e, Shot) for e in events),
    }


def in_child(what: str, path: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", what, str(path)]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", nargs=2, metavar=("WHAT", "PATH"))
    args = parser.parse_args()
    if args.child:
        figures = {"bare": bare, "watch": watched}[args.child[0]](Path(args.child[1]))
        print(json.dumps({**figures, "rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))
        return
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        make_clip(clip)
        rounds = [(in_child("bare", clip), in_child("watch", clip)) for _ in range(args.rounds)]
        result = {
            "clip": f"{SECONDS} s, {WIDTH}x{HEIGHT}, {FPS}/s, H.264, {clip.stat().st_size / 1e6:.1f} MB",
            "ratio": round(statistics.median(w["seconds"] / b["seconds"] for b, w in rounds), 3),
            "ratios": [round(w["seconds"] / b["seconds"], 3) for b, w in rounds],
            "cpu_ratio": round(statistics.median(w["cpu_seconds"] / b["cpu_seconds"] for b, w in rounds), 3),
            "bare": rounds[-1][0],
            "watch": rounds[-1][1],
        }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
