# Sourced by the scripts that need PyTorch, transformers and TRL: makes the virtual environment and sets python.
# VENV names it (default venv/, which git ignores). It is made where it is missing or older than requirements.txt; needs
# Python 3.11 or later. The wheel of torch for Linux on x86-64 brings several GB of GPU libraries, which are not used.
venv=${VENV:-venv}
python=$venv/bin/python
if ! cmp -s scripts/requirements.txt "$venv/requirements.txt"; then
  echo "installing scripts/requirements.txt into $venv" >&2
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet -r scripts/requirements.txt
  cp scripts/requirements.txt "$venv/requirements.txt"
fi
# Nothing is looked up on a network, and no file is left beside the sources.
export CUDA_VISIBLE_DEVICES='' HF_HUB_OFFLINE=1 PYTHONDONTWRITEBYTECODE=1
