#!/bin/sh
# Checks what `damper package` wrote with cfn-lint, checkov and AWS's rules for cfn-guard. `make check-templates` runs it after `make package`.
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
[ -z "$left_out" ] || echo "templates: not installed:$left_out"
