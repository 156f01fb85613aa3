#!/usr/bin/env bash
# Checks what the deployment is made of: Dockerfiles, Compose files, workflows, Kubernetes manifests. `make lint-deployment` puts the
# linters on the path; kubectl or kustomize must be there already. Asks nothing of any other machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The oldest Kubernetes that has all that the manifests use (podReplacementPolicy, a budget's eviction policy), and the newest known.
kubernetes=(1.29 1.37)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say() { printf '%-22s %s\n' "$1" "$2"; }

render() { # a folder with a kustomization
  if command -v kubectl >/dev/null; then
    kubectl kustomize "$1"
  elif command -v kustomize >/dev/null; then
    kustomize build "$1"
  else
    echo "lint-deployment.sh: neither kubectl nor kustomize is here to render the manifests. Install one of them." >&2
    return 1
  fi
}

mapfile -t yaml < <(git ls-files --cached --others --exclude-standard '*.yml' '*.yaml')
mapfile -t workflows < <(printf '%s\n' "${yaml[@]}" | grep '^\.github/workflows/')
dockerfiles=(Dockerfile Dockerfile.migration)

hadolint "${dockerfiles[@]}"
say hadolint "${#dockerfiles[@]} Dockerfiles"

yamllint --strict "${yaml[@]}"
say yamllint "${#yaml[@]} files"

check-jsonschema --quiet --builtin-schema vendor.compose-spec docker-compose*.yml
check-jsonschema --quiet --builtin-schema vendor.github-workflows "${workflows[@]}"
say check-jsonschema "Compose files, ${#workflows[@]} workflows"

zizmor --offline --persona auditor --no-progress --quiet "${workflows[@]}"
say zizmor "${#workflows[@]} workflows, as an auditor"

# The shell inside workflows is shell like any other.
python - "$work" "${workflows[@]}" <<'PYTHON'
import pathlib, sys, yaml
folder = pathlib.Path(sys.argv[1])
for path in map(pathlib.Path, sys.argv[2:]):
    for job in yaml.safe_load(path.read_text())["jobs"].values():
        for number, step in enumerate(job["steps"]):
            if "run" in step:
                (folder / f"{path.stem}-{job['name'].split()[0]}-{number}.sh").write_text("#!/usr/bin/env bash\n" + step["run"])
PYTHON
shellcheck "$work"/*.sh
say shellcheck "$(find "$work" -name '*.sh' | wc -l) steps of workflows"

# The example as it is, and as it is for Argo CD.
render deploy/k8s/overlays/example >"$work/example.yaml"
mkdir "$work/argocd"
cat >"$work/argocd/kustomization.yaml" <<YAML
resources: [$(realpath --relative-to "$work/argocd" deploy/k8s/overlays/example)]
components: [$(realpath --relative-to "$work/argocd" deploy/k8s/components/argocd)]
YAML
render "$work/argocd" >"$work/argocd.yaml"
for version in "${kubernetes[@]}"; do
  kubernetes-validate --strict --quiet -k "$version" "$work/example.yaml" "$work/argocd.yaml"
done
say kubernetes-validate "the example, with and without Argo CD, for ${kubernetes[*]}"

checkov --config-file .checkov.yaml --file "${dockerfiles[@]}" "$work/example.yaml" "$work/argocd.yaml"
say checkov "Dockerfiles and manifests"
