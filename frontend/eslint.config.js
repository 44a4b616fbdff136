import { fileURLToPath } from 'node:url';
import prettier from 'eslint-config-prettier';
import { createNodeResolver, importX } from 'eslint-plugin-import-x';
import vue from 'eslint-plugin-vue';
import globals from 'globals';
import ts from 'typescript-eslint';

/**
 * Layers of the page: views → components → charts/flame/composables; components → stores → api.
 * `format`, `series`, `api/types` and `api/dictionary` are leaves that every layer may import. Each layer lists what it
 * must not import.
 */
const layers = {
  format: ['api', 'series', 'charts', 'flame', 'stores', 'composables', 'components', 'views', 'router'],
  series: ['charts', 'flame', 'stores', 'composables', 'components', 'views', 'router'],
  api: ['series', 'charts', 'flame', 'stores', 'composables', 'components', 'views', 'router'],
  charts: ['stores', 'composables', 'components', 'views', 'router'],
  flame: ['stores', 'composables', 'components', 'views', 'router'],
  stores: ['charts', 'flame', 'composables', 'components', 'views', 'router'],
  composables: ['components', 'views', 'router'],
  components: ['views', 'router'],
  views: ['router'],
};

/** Only stores (and the root) call the server; these layers may only import the types of its responses. */
const serverCalls = ['format', 'series', 'charts', 'flame', 'composables', 'components', 'views'];

function boundary([layer, forbidden]) {
  const patterns = [
    {
      group: ['../*'],
      message: 'Import from other folders with @/…, so that the layering can be checked.',
    },
    {
      group: forbidden.filter((name) => name !== 'api').map((name) => `@/${name}/**`),
      message: `${layer}/ may not import from there (see the layers in eslint.config.js).`,
    },
  ];
  if (serverCalls.includes(layer)) {
    patterns.push({
      group: ['@/api/**', '!@/api/types', '!@/api/dictionary'],
      message: 'Only stores call the server; import types from @/api/types.',
    });
  }
  return {
    files: [`src/${layer}/**/*.{ts,vue}`],
    rules: { 'no-restricted-imports': ['error', { patterns }] },
  };
}

export default ts.config(
  { ignores: ['dist/**', 'node_modules/**', 'src/api/schema.ts'] },
  ...ts.configs.strict,
  ...ts.configs.stylistic,
  ...vue.configs['flat/recommended'],
  {
    languageOptions: { globals: { ...globals.browser } },
    rules: {
      eqeqeq: 'error',
      'no-console': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
    },
  },
  {
    files: ['**/*.vue'],
    languageOptions: { parserOptions: { parser: ts.parser } },
    rules: {
      'vue/block-lang': ['error', { script: { lang: 'ts' } }],
      'vue/component-api-style': ['error', ['script-setup']],
      'vue/define-macros-order': 'error',
      'vue/no-v-html': 'error',
      'vue/require-default-prop': 'off',
      'vue/multi-word-component-names': 'off',
    },
  },
  {
    files: ['e2e/**/*.mjs', '*.config.{js,ts}'],
    languageOptions: { globals: { ...globals.node, ...globals.browser } },
    rules: { 'no-console': 'off' },
  },
  {
    files: ['tests/**/*.ts'],
    rules: { '@typescript-eslint/no-non-null-assertion': 'off' },
  },
  ...Object.entries(layers).map(boundary),
  {
    // No import cycles. Imports of types alone do not count: they are erased.
    files: ['src/**/*.{ts,vue}', 'tests/**/*.ts'],
    plugins: { 'import-x': importX },
    languageOptions: { parserOptions: { parser: ts.parser } },
    settings: {
      'import-x/extensions': ['.ts', '.vue'],
      'import-x/parsers': { '@typescript-eslint/parser': ['.ts'], 'vue-eslint-parser': ['.vue'] },
      'import-x/resolver-next': [
        createNodeResolver({
          alias: { '@': [fileURLToPath(new URL('./src', import.meta.url))] },
          extensions: ['.ts', '.vue', '.js'],
        }),
      ],
    },
    rules: { 'import-x/no-cycle': 'error' },
  },
  prettier,
);
