#!/bin/sh
# Checks what `damper package` wrote with cfn-lint, checkov and AWS's rules for cfn-guard, and the Terraform modules with terraform.
# `make check-templates` runs it after `make package`.
#
#     sh tests/templates/check.sh dist target
#
# $1 is the folder that was written, $2 one for what this installs: cfn-lint. checkov (pip install checkov) and cfn-guard (cargo install
# cfn-guard) are used where they are on the path; cfn-guard needs GUARD_RULES, a clone of
# https://github.com/aws-cloudformation/aws-guard-rules-registry. What is left out is said. Exceptions stand in the templates, with reasons.
set -eu

dist=${1:?name the folder that damper package wrote}
target=${2:?name a folder to install into, for instance target}
here=$(cd "$(dirname "$0")" && pwd)
left_out=""

"$(sh "$here/cfn-lint.sh" "$target")" --regions eu-central-1 us-east-1 --include-checks I -- "$dist/damper.yaml" "$dist"/providers/*.yaml
echo "templates: cfn-lint finds nothing"

if command -v checkov >/dev/null 2>&1; then
    checkov --framework cloudformation --directory "$dist" --compact --quiet --skip-download
    echo "templates: checkov finds nothing"
else
    left_out="$left_out checkov (pip install checkov==3.3.30)"
fi

if command -v cfn-guard >/dev/null 2>&1 && [ -n "${GUARD_RULES:-}" ]; then
    for folder in amazon_s3 aws_kinesis aws_kms cloudwatch dynamodb iam lambda; do
        cfn-guard validate --data "$dist/damper.yaml" "$dist"/providers/*.yaml --rules "$GUARD_RULES/rules/aws/$folder" --show-summary fail
    done
    echo "templates: cfn-guard finds nothing"
else
    left_out="$left_out cfn-guard (cargo install --locked cfn-guard@3.2.1, and GUARD_RULES)"
fi

# The modules are validated in a copy: terraform writes a lock file and its plugins beside them.
if command -v terraform >/dev/null 2>&1; then
    modules=$here/../../packaging/terraform
    terraform fmt -check -recursive "$modules"
    copy=$(mktemp -d)
    trap 'rm -rf "$copy"' EXIT
    cp -R "$modules"/. "$copy"
    if terraform -chdir="$copy/example" init -backend=false -input=false >"$copy/init.log" 2>&1; then
        terraform -chdir="$copy/example" validate
        terraform -chdir="$copy/example" test
        echo "templates: terraform finds nothing"
    else
        left_out="$left_out terraform's provider hashicorp/aws, so the modules' format alone is checked"
    fi
else
    left_out="$left_out terraform"
fi
[ -z "$left_out" ] || echo "templates: not installed:$left_out"
